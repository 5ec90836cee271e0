"""What a rule author writes with: lint, its reports, new rules, a site's overlay, schemas for editors."""
