"""Where agents run: ``docker`` for those nobody trusts, ``process`` for one's own.

Both stand behind the protocols in ``base``; ``open_sandbox`` in ``factory`` chooses by kind.
"""
