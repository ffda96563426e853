"""How an export is known again, so that none gets into an agent's image with its answers."""

EXPORT_MARK = "<!-- pacabench export -->"
"""The last line of a Markdown export or a JUnit report; Parquet's metadata carry it too."""
