"""What passes between agent and provider besides bodies: some headers, and never the real key."""

from collections.abc import Mapping

from multidict import CIMultiDict

from pacabench.proxy.client import Refused

SHORTEST_SECRET = 8
"""A shorter key (``ollama``, ``none``) is a word like others, and not looked for in texts."""

_REQUEST_HEADERS = ("Content-Type", "Accept", "Idempotency-Key")
_REPLY_HEADERS = frozenset(
    {
        "content-type",
        "content-encoding",
        "content-length",
        "retry-after",
        "retry-after-ms",
        "x-should-retry",
        "x-request-id",
        "openai-processing-ms",
        "openai-version",
    }
)
_REPLY_PREFIX = "x-ratelimit-"


def request_headers(given: Mapping[str, str]) -> dict[str, str]:
    """What goes on to the provider. It must not fail there for what only the agent can mend.

    Raises:
        Refused: a header cannot be sent.
    """
    kept = {name: given[name] for name in _REQUEST_HEADERS if name in given}
    for name, value in kept.items():
        if not value.isascii() or not value.isprintable():
            raise Refused(400, f"The header {name} may hold printable ASCII only.")
    return kept


class KeyGuard:
    """Takes a provider's real key out of what goes to the agent or into a record."""

    def __init__(self, key: str | None) -> None:
        self._secret = key if key is not None and len(key) >= SHORTEST_SECRET else None

    def text(self, text: str) -> str:
        """``text`` without the key."""
        return text.replace(self._secret, "[key]") if self._secret else text

    def body(self, head: bytes) -> bytes:
        """The beginning of an error's body without the key."""
        return head.replace(self._secret.encode(), b"[key]") if self._secret and head else head

    def reply_headers(self, given: Mapping[str, str], *, resized: bool) -> CIMultiDict[str]:
        """What goes on to the agent; without the length where that was ``resized``."""
        kept: CIMultiDict[str] = CIMultiDict()
        for name, value in given.items():
            lower = name.lower()
            if (
                (lower not in _REPLY_HEADERS and not lower.startswith(_REPLY_PREFIX))
                or (resized and lower == "content-length")
                or (self._secret and self._secret in value)
            ):
                continue
            kept.add(name, value)
        return kept
