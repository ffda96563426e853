"""Has a connection upgraded to WebSocket and h2c: behind that nobody reads along."""

from pacabench.audit.attacks.kit import Found, Given, found, keyed, raw_http, reported, smuggler

_KINDS = {"websocket": "Sec-WebSocket-Key: eA==\r\n", "h2c": "HTTP2-Settings: \r\n"}


def attack(given: Given) -> Found:
    """See above."""
    port, word = given["lane_port"], f"upgraded-{given['nonce']}"
    answers = {}
    start = f"POST /openai/v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n{keyed()}"
    for kind, extra in _KINDS.items():
        asked = f"Connection: Upgrade\r\nUpgrade: {kind}\r\n{extra}"
        request = f"{start}{asked}Content-Length: 2\r\n\r\n{{}}".encode()
        answers[kind] = raw_http(port, request, then=smuggler(word))[:120]
    arrived = [line for line in reported(port, word) if f"/{word}" in line.split(" HTTP/")[0]]
    return found(bool(arrived), arrived=arrived, answers=answers)
