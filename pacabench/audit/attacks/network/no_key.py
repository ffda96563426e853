"""Calls the model with no key, an empty one, and a made-up one."""

from pacabench.audit.attacks.kit import Found, Given, chat_request, found, raw_http


def attack(given: Given) -> Found:
    """See above."""
    keys = {"none": None, "empty": "", "made up": "sk-pacabench-x"}
    path = "/openai/v1/chat/completions"
    seen = {
        name: raw_http(given["lane_port"], chat_request("x", path=path, key=key))[:60]
        for name, key in keys.items()
    }
    return found(any(text.startswith("HTTP/1.1 200") for text in seen.values()), answers=seen)
