"""Leaves a file, a store and a batch with the provider, where a later case could find them."""

from pacabench.audit.attacks.kit import Found, Given, found, keyed, raw_http, reported

_PATHS = ("files", "uploads", "vector_stores", "batches", "containers", "conversations")


def attack(given: Given) -> Found:
    """See above."""
    port, word = given["lane_port"], f"left-{given['nonce']}"
    seen = {path: raw_http(port, _request(path, word))[:120] for path in _PATHS}
    arrived = reported(port, word)
    return found(bool(arrived), arrived=arrived, answers=seen)


def _request(path: str, word: str) -> bytes:
    body = (
        f'--{word}\r\nContent-Disposition: form-data; name="file"; filename="{word}"\r\n\r\n'
        f"{word}\r\n--{word}--\r\n"
    )
    line = f"POST /openai/v1/{path} HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n{keyed()}"
    kind = f"Content-Type: multipart/form-data; boundary={word}\r\nConnection: close\r\n"
    return f"{line}{kind}Content-Length: {len(body)}\r\n\r\n{body}".encode()
