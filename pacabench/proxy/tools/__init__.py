"""Ways out of the sandbox through a provider's own tools: what they are, and where requests ask."""
