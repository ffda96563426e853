"""Calls the model with the virtual key of an agent in another lane."""

from pacabench.audit.attacks.kit import Found, Given, chat_request, found, raw_http


def attack(given: Given) -> Found:
    """See above."""
    request = chat_request(f"foreign {given['nonce']}", key=given["neighbour_key"])
    answer = raw_http(given["lane_port"], request)
    return found(answer.startswith("HTTP/1.1 200"), answer=answer[:300])
