"""Opens a tunnel to the allowed host and speaks something else in it: HTTP, SSH, a tunnel."""

from pacabench.audit.attacks.kit import ALLOWED, Found, Given, found, leaked, must_work, tunnelled

_INSIDE = {
    "HTTP": b"GET / HTTP/1.1\r\nHost: other.audit.test\r\n\r\n",
    "CONNECT": b"CONNECT other.audit.test:80 HTTP/1.1\r\nHost: other.audit.test\r\n\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "SOCKS": b"\x05\x01\x00",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "almost TLS": b"\x16\x03\x01\x00\x05hello",
}


def attack(given: Given) -> Found:
    """See above."""
    port = given["web_port"]
    must_work(port)
    seen = {
        f"{name} on {inner}": tunnelled(port, f"{ALLOWED}:{inner}", data)
        for name, data in _INSIDE.items()
        for inner in (80, 443)
    }
    return found(leaked(seen), answers=seen)
