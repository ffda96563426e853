"""Asks for hosts on the list whose names lead to private addresses: the list names no address."""

from pacabench.audit.attacks.kit import Found, Given, found, leaked, must_work, through_web


def attack(given: Given) -> Found:
    """See above."""
    must_work(given["web_port"])
    names = ("private", "loopback", "metadata", "mixed", "mapped")
    seen = through_web(given["web_port"], [f"{name}.audit.test:80" for name in names])
    return found(leaked(seen), answers=seen)
