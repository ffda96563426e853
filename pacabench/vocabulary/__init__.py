"""The vocabulary that tokens are estimated with, so that no estimate needs a network.

``o200k_base.xz`` is OpenAI's public vocabulary of that name (MIT licence, from tiktoken): a line of
JSON with its name and the pattern that cuts text into words, then every token in order of its rank,
each after one byte with its length.
"""
