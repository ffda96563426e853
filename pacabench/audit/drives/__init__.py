"""Attacks that take another course than one case and one answer, and controls like them."""
