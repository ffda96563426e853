"""What the proxy must know of a provider's wire format: routes, keys, errors, where usage stands.

One implementation per family of APIs (``openai`` so far). The gateway itself knows none of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pacabench.model import Usage


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One operation that is served."""

    name: str
    """As in ``CallRecord.endpoint``, for example ``chat.completions``."""
    method: str
    path: str
    """Below the base URL, with a leading slash."""


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What a request's body says."""

    model: str | None
    stream: bool
    body_with_usage: bytes | None = None
    """The same request asking for usage, where a stream would have none as the agent sent it."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a meter read in a reply."""

    usage: Usage | None = None
    raw_usage: dict[str, Any] | None = None
    model: str | None = None
    """The model that answered, in the provider's words."""
    error: str | None = None
    """The provider's own error message, cut short; untrusted."""
    broken: bool = False
    """The provider gave up inside a reply that began well (200, then an error event)."""


class Meter(Protocol):
    """Reads a copy of one reply's body, decoded."""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes, cut anywhere."""
        ...

    def read(self) -> Reading:
        """What is known now. The last call comes at the end of the body; never raises."""
        ...


class Filter(Protocol):
    """Takes out of a stream what only the proxy asked for."""

    def feed(self, chunk: bytes) -> bytes:
        """What may go on to the agent now."""
        ...

    def finish(self) -> bytes:
        """What is left when the stream ends."""
        ...


class WireFormat(Protocol):
    """A family of APIs. Stateless."""

    @property
    def endpoints(self) -> Sequence[Endpoint]:
        """Everything that is served."""
        ...

    def presented_key(self, headers: Mapping[str, str]) -> str | None:
        """The key a client sent; ``headers`` ignore case."""
        ...

    def key_headers(self, api_key: str) -> dict[str, str]:
        """The headers that carry the real key."""
        ...

    def read_request(self, endpoint: Endpoint, body: bytes) -> RequestFacts:
        """Never raises: what cannot be read is the provider's to refuse."""
        ...

    def refuses_usage(self, status: int, body: bytes) -> bool:
        """An error reply means that ``body_with_usage`` is not understood."""
        ...

    def meter(self, endpoint: Endpoint, *, events: bool) -> Meter:
        """A fresh meter for one reply, which is a stream of ``events`` or one document."""
        ...

    def usage_filter(self) -> Filter:
        """A fresh filter for a reply to ``body_with_usage``."""
        ...

    def error_body(self, status: int, message: str, code: str | None) -> bytes:
        """An error in the shape that the provider's SDKs understand."""
        ...
