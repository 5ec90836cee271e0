"""Screening: whole exports, by processes and clusters, with everything that may go wrong on the way."""
