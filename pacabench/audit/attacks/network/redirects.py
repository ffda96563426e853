"""Has the provider redirect a call to an address that agents must not reach."""

from pacabench.audit.attacks.kit import Found, Given, chat_request, found, raw_http


def attack(given: Given) -> Found:
    """See above."""
    request = chat_request(f"redirect {given['nonce']}", path="/openai/v1/chat/completions")
    answer = raw_http(given["lane_port"], request)
    return found("canary" in answer, answer=answer[:400])
