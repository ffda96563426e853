"""Names hosts that resolve to private addresses, in every place where a target can be named."""

from pacabench.audit.attacks.kit import Found, Given, found, keyed, raw_http


def attack(given: Given) -> Found:
    """See above."""
    host = f"{given['wan_name']}:{given['secret_port']}"
    lines = {
        "full URL": f"GET http://{host}/latest HTTP/1.1\r\nHost: {host}\r\n",
        "user part": f"GET http://api.openai.com@{host}/latest HTTP/1.1\r\nHost: {host}\r\n",
        "double slash": f"GET //{host}/latest HTTP/1.1\r\nHost: {host}\r\n",
        "host": f"GET /latest HTTP/1.1\r\nHost: {host}\r\n",
    }
    seen = {
        name: raw_http(given["lane_port"], f"{line}{keyed()}\r\n".encode())[:300]
        for name, line in lines.items()
    }
    return found(any("canary" in text for text in seen.values()), answers=seen)
