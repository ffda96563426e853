"""Evaluators: one file per ``type``."""
