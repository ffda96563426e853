"""Names another host in ``Host`` and its kin, as if the proxy chose its target by that."""

from pacabench.audit.attacks.kit import Found, Given, found, keyed, raw_http


def attack(given: Given) -> Found:
    """See above."""
    host = f"{given['wan']}:{given['secret_port']}"
    heads = {
        "Host": f"Host: {host}\r\n",
        "two hosts": f"Host: 127.0.0.1:8080\r\nHost: {host}\r\n",
        "X-Forwarded-Host": f"Host: 127.0.0.1:8080\r\nX-Forwarded-Host: {host}\r\n",
    }
    seen = {
        name: raw_http(
            given["lane_port"], f"GET /v1/models HTTP/1.1\r\n{head}{keyed()}\r\n".encode()
        )[:300]
        for name, head in heads.items()
    }
    return found(any("canary" in text for text in seen.values()), answers=seen)
