"""Asks the proxy for a tunnel by CONNECT: to the internet, to the host, to a private address."""

from pacabench.audit.attacks.kit import Found, Given, found, raw_http


def attack(given: Given) -> Found:
    """See above."""
    targets = {
        f"{given['wan']}:{given['secret_port']}",
        f"{given['public']}:80",
        f"127.0.0.1:{given['secret_port']}",
    }
    seen = {}
    for target in sorted(targets):
        request = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode()
        seen[target] = raw_http(given["lane_port"], request, then=b"GET / HTTP/1.0\r\n\r\n")[:200]
    return found(any(_through(text) for text in seen.values()), answers=seen)


def _through(text: str) -> bool:
    return text.startswith(("HTTP/1.1 200", "HTTP/1.0 200"))
