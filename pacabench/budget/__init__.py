"""What a run, an agent and an attempt at a case may spend.

``book`` reserves and settles, ``treasury`` decides about calls, ``limits`` reads the configuration.
"""
