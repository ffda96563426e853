"""What people and programs read about a run: terminal tables, Markdown, JSON. Pure."""
