"""What passes between agent and provider besides bodies: some headers, and never the real key."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from urllib.parse import quote

from multidict import CIMultiDict

from pacabench.proxy.client import Refused

SHORTEST_SECRET = 8
"""A shorter key (``ollama``, ``none``) is a word like others, and not looked for in texts."""

_JSON = "application/json"
_IS_JSON = re.compile(r"\s*application/json\s*(;\s*charset=\"?utf-?8\"?\s*)?", re.IGNORECASE)
"""Anything else another reader may take for something else."""
_UNSUPPORTED = 415
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
        "x-ratelimit-",
    }
)
"""Of every format; one that ends with ``-`` is a beginning."""


def request_headers(
    given: Mapping[str, str], more: Collection[str] = (), *, has_body: bool = True
) -> dict[str, str]:
    """What goes on to the provider, with what a format needs besides.

    It must not fail there for what only the agent can mend.

    Raises:
        Refused: a header cannot be sent.
    """
    kept = {name: given[name] for name in (*_REQUEST_HEADERS, *more) if name in given}
    for name, value in kept.items():
        if not value.isascii() or not value.isprintable():
            raise Refused(400, f"The header {name} may hold printable ASCII only.")
    if has_body and not _IS_JSON.fullmatch(kept.setdefault("Content-Type", _JSON)):
        raise Refused(_UNSUPPORTED, f"Send the request's body as {_JSON}.")
    return kept


class KeyGuard:
    """Takes a provider's real key out of what goes to the agent or into a record."""

    def __init__(self, *keys: str | None) -> None:
        self._secrets = [key for key in keys if key is not None and len(key) >= SHORTEST_SECRET]

    def text(self, text: str) -> str:
        """``text`` without the key."""
        for secret in self._secrets:
            text = text.replace(secret, "[key]")
        return text

    def scrubber(self) -> "Scrubber":
        """Takes the key out of one body."""
        return Scrubber(self._secrets)

    def reply_headers(
        self, given: Mapping[str, str], more: frozenset[str], *, resized: bool
    ) -> CIMultiDict[str]:
        """What goes on to the agent; without length and coding where the body is ``resized``."""
        allowed, prefixes = _allowed(more)
        kept: CIMultiDict[str] = CIMultiDict()
        for name, value in given.items():
            lower = name.lower()
            if lower in allowed or lower.startswith(prefixes):
                kept.add(name, value)
        if self._shown_in("\n".join(kept.values())):
            kept = CIMultiDict(pair for pair in kept.items() if not self._shown_in(pair[1]))
        if resized:
            for name in ("Content-Length", "Content-Encoding"):
                kept.popall(name, None)
        return kept

    def _shown_in(self, text: str) -> bool:
        return any(secret in text for secret in self._secrets)


@cache
def _allowed(more: frozenset[str]) -> tuple[frozenset[str], tuple[str, ...]]:
    """Names, and beginnings of names, of the headers of a reply that go on to the agent."""
    allowed = _REPLY_HEADERS | more
    return allowed, tuple(name for name in allowed if name.endswith("-"))


class Scrubber:
    """Blots keys out of a body, cut anywhere, and leaves its length as it is.

    A key is also known as JSON and URLs may write it. Held back is only what may be the beginning
    of one.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = _as_written(tuple(secrets))
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """What may go on to the agent now."""
        data = self._held + chunk
        begins = len(data)
        for secret in self._secrets:
            if secret in data:
                data = data.replace(secret, b"*" * len(secret))
            begins = min(begins, _beginning(secret, data))
        self._held = data[begins:]
        return data[:begins] if self._held else data

    def finish(self) -> bytes:
        """What was held back at the end: it was no key."""
        return self._held


@cache
def _as_written(secrets: tuple[str, ...]) -> Sequence[bytes]:
    """The forms of the keys that are looked for, the longest first."""
    written = {
        form
        for secret in secrets
        for form in (secret, secret.replace("/", "\\/"), quote(secret, safe=""))
    }
    return [form.encode() for form in sorted(written, key=len, reverse=True)]


def _beginning(secret: bytes, data: bytes) -> int:
    """Where the end of ``data`` begins that a longer ``data`` might show to be the secret."""
    if data[-1:] not in secret:  # the quick way for events, which end with a line
        return len(data)
    first = secret[:1]
    place = data.find(first, max(0, len(data) - len(secret) + 1))
    while place >= 0 and not secret.startswith(data[place:]):
        place = data.find(first, place + 1)
    return len(data) if place < 0 else place
