"""What passes between agent and provider besides bodies: some headers, and never the real key."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from urllib.parse import quote

from multidict import CIMultiDict, MultiMapping

from pacabench.proxy.client import Refused

SHORTEST_SECRET = 8
"""A shorter key (``ollama``, ``none``) is a word like others, and not looked for in texts."""

_JSON = "application/json"
_IS_JSON = re.compile(r"\s*application/json\s*(;\s*charset=\"?utf-?8\"?\s*)?", re.IGNORECASE)
"""Anything else another reader may take for something else."""
_UNSUPPORTED = 415
_REQUEST_HEADERS = ("Content-Type", "Accept", "Idempotency-Key")
_LISTS = frozenset({"Accept", "anthropic-beta", "openai-beta"})
"""Of them a request may have several lines (RFC 9110, section 5.3)."""
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
_MOST_NAMES, _LONGEST_NAME = 1024, 128
"""Of headers that are remembered."""


def request_headers(
    given: Mapping[str, str], more: Collection[str] = (), *, has_body: bool = True
) -> dict[str, str]:
    """What goes on to the provider, with what a format needs besides.

    It must not fail there for what only the agent can mend.

    Raises:
        Refused: a header cannot be sent.
    """
    kept = {name: _said(given, name) for name in (*_REQUEST_HEADERS, *more) if name in given}
    if not (values := "".join(kept.values())).isascii() or not values.isprintable():
        wrong = next(name for name in kept if not _is_sendable(kept[name]))
        raise Refused(400, f"The header {wrong} may hold printable ASCII only.")
    if has_body:
        kind = kept.setdefault("Content-Type", _JSON)
        if kind != _JSON and not _IS_JSON.fullmatch(kind):
            raise Refused(_UNSUPPORTED, f"Send the request's body as {_JSON}.")
    return kept


def _said(given: Mapping[str, str], name: str) -> str:
    """The first line of this name; of a list, what all of them say together."""
    if name in _LISTS and isinstance(given, MultiMapping):
        return ", ".join(given.getall(name))
    return given[name]


def _is_sendable(value: str) -> bool:
    return value.isascii() and value.isprintable()


class KeyGuard:
    """Takes a provider's real key out of what goes to the agent or into a record."""

    def __init__(self, *keys: str | None) -> None:
        self._secrets = tuple(
            key for key in keys if key is not None and len(key) >= SHORTEST_SECRET
        )
        self._written = _as_written(self._secrets)

    def text(self, text: str) -> str:
        """``text`` without the key."""
        for secret in self._secrets:
            text = text.replace(secret, "[key]")
        return text

    def scrubber(self) -> "Scrubber":
        """Takes the key out of one body."""
        return Scrubber(self._written)

    def reply_headers(
        self, given: Mapping[str, str], more: frozenset[str], *, resized: bool
    ) -> CIMultiDict[str]:
        """What goes on to the agent; without length and coding where the body is ``resized``."""
        passing = _passing(more)
        kept = [pair for pair in given.items() if passing[pair[0]]]
        if self._secrets:
            kept = self._without_secrets(kept)
        headers = CIMultiDict(kept)
        if resized:
            for name in ("Content-Length", "Content-Encoding"):
                headers.popall(name, None)
        return headers

    def _without_secrets(self, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
        # All at once, because nearly never there is one.
        together = "\n".join([value for _, value in pairs])
        for secret in self._secrets:
            if secret in together:
                pairs = [pair for pair in pairs if secret not in pair[1]]
        return pairs


class _Passing(dict[str, bool]):
    """Which headers of a reply go on to the agent, by their names as they were written.

    Worked out once for each way of writing: a dictionary is asked faster than a function.
    """

    def __init__(self, more: frozenset[str]) -> None:
        super().__init__()
        self._allowed = _REPLY_HEADERS | more
        self._beginnings = tuple(name for name in self._allowed if name.endswith("-"))

    def __missing__(self, name: str) -> bool:
        lower = name.lower()
        passes = lower in self._allowed or lower.startswith(self._beginnings)
        if len(self) < _MOST_NAMES and len(name) <= _LONGEST_NAME:  # providers make them up
            self[name] = passes
        return passes


@cache
def _passing(more: frozenset[str]) -> _Passing:
    return _Passing(more)


class Scrubber:
    """Blots keys out of a body, cut anywhere, and leaves its length as it is.

    Held back is only what may be the beginning of a key.

    Args:
        written: the keys as they may be written, the longest first.
    """

    def __init__(self, written: Sequence[bytes]) -> None:
        self._secrets = written
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """What may go on to the agent now."""
        data = self._held + chunk if self._held else chunk
        held = 0
        for secret in self._secrets:
            if secret in data:
                data = data.replace(secret, b"*" * len(secret))
            if data[-1:] in secret:  # never for events, which end with a line
                held = max(held, _begun(secret, data))
        if not held:
            self._held = b""
            return data
        self._held = data[-held:]
        return data[:-held]

    def finish(self) -> bytes:
        """What was held back at the end: it was no key."""
        return self._held


def _as_written(secrets: Iterable[str]) -> Sequence[bytes]:
    """The keys as they are, and as JSON and URLs may write them; the longest first."""
    written = {
        form
        for secret in secrets
        for form in (secret, secret.replace("/", "\\/"), quote(secret, safe=""))
    }
    return [form.encode() for form in sorted(written, key=len, reverse=True)]


def _begun(secret: bytes, data: bytes) -> int:
    """How long an end of ``data`` is that a longer ``data`` might show to be the secret."""
    first = secret[:1]
    place = data.find(first, max(0, len(data) - len(secret) + 1))
    while place >= 0 and not secret.startswith(data[place:]):
        place = data.find(first, place + 1)
    return 0 if place < 0 else len(data) - place
