"""Pages for people: HTML made here, by templates, that works without scripts; nothing on a page comes from elsewhere."""
