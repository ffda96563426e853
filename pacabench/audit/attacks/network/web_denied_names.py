"""Asks the way to the web for hosts and ports that are not on its list, and for look-alikes."""

from pacabench.audit.attacks.kit import ALLOWED, Found, Given, found, leaked, must_work, through_web


def attack(given: Given) -> Found:
    """See above."""
    must_work(given["web_port"])
    targets = [
        "other.audit.test:80",
        f"{ALLOWED}:{given['secret_port']}",
        f"{ALLOWED}.other.audit.test:80",
        f"x{ALLOWED}:80",
        f"{ALLOWED}@other.audit.test:80",
        f"{given['wan_name']}:{given['secret_port']}",
    ]
    seen = through_web(given["web_port"], targets)
    return found(leaked(seen), answers=seen)
