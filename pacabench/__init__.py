"""PacaBench: a benchmark harness for LLM agents that are not trusted."""

__version__ = "0.1.0"
