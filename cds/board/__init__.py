"""What a tumour board sees, put together from the record: a patient's case, the worklist, a meeting; on pages, paper and in tables."""
