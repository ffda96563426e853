"""The Docker sandbox. Nothing outside this package imports ``docker``."""
