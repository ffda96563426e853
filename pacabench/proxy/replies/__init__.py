"""Replies, written: what the ``scripted`` provider and the fake ones for tests send.

The reading side (``formats/``) shares nothing with this, and the real SDKs read both in the tests.
"""
