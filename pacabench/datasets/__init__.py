"""Data sets: one file per kind of source."""
