"""What the proxy must know of a provider's wire format: routes, keys, errors, where usage stands.

One implementation per family of APIs, in ``formats/``. The gateway itself knows none of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pacabench.model import Usage
from pacabench.proxy.additions import Addition
from pacabench.proxy.body import RequestBody
from pacabench.proxy.excerpt import Excerpt
from pacabench.proxy.tools.rules import ToolRules


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One operation that is served."""

    name: str
    """As in ``CallRecord.endpoint``, for example ``chat.completions``."""
    method: str
    path: str
    """Below a root of the format, with a leading slash. ``{model}`` stands for one segment."""
    query: frozenset[str] = frozenset()
    """Parameters that go on to the provider; any other one is refused."""
    values: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """All that some of them may be."""


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What a request says."""

    model: str | None
    stream: bool
    asks_usage: Addition | None = None
    """Asks for usage, where a stream would have none as the agent sent it."""


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
    """The provider gave up inside a reply that began well: 200, then an error event, or a document
    that is one. With another status that one decides."""
    ended: bool = True
    """The reply came to its end, so that ``usage`` is final."""
    service_tier: str | None = None
    note: str | None = None
    """What is doubtful about ``usage``."""
    is_cut: bool = False
    """The reply, or one of several answers in it, ended at the limit of its output."""


class Meter(Protocol):
    """Reads a copy of one reply's body, decoded."""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes, cut anywhere."""
        ...

    def read(self) -> Reading:
        """What is known now. The last call comes at the end of the body; never raises."""
        ...

    def said(self) -> Excerpt:
        """What the model said so far, for an estimate where ``read`` has no usage."""
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
    def roots(self) -> Mapping[str, str]:
        """Where its SDKs expect the endpoints, and what stands there below the base URL."""
        ...

    @property
    def endpoints(self) -> Sequence[Endpoint]:
        """Everything that is served."""
        ...

    @property
    def request_headers(self) -> frozenset[str]:
        """What goes on to the provider besides the usual ones; lower case."""
        ...

    @property
    def reply_headers(self) -> frozenset[str]:
        """What goes on to the agent besides the usual ones; lower case, ``-`` ends a prefix."""
        ...

    @property
    def tool_rules(self) -> ToolRules:
        """Where requests ask for what the provider would do by itself."""
        ...

    def claims(self, headers: Mapping[str, str], query: Mapping[str, str]) -> bool:
        """Whether a request looks as this format's SDKs send it: decides where paths are shared."""
        ...

    def key_headers(self, api_key: str) -> dict[str, str]:
        """The headers that carry the real key."""
        ...

    def read_request(
        self, endpoint: Endpoint, params: Mapping[str, str], body: RequestBody
    ) -> RequestFacts:
        """Never raises: what makes no sense is the provider's to refuse.

        ``params`` are the segments of the path that ``endpoint`` has names for.
        """
        ...

    def refuses_usage(self, status: int, body: bytes) -> bool:
        """An error reply means that ``asks_usage`` is not understood."""
        ...

    def meter(self, endpoint: Endpoint, *, events: bool) -> Meter:
        """A fresh meter for one reply, which is a stream of ``events`` or one document."""
        ...

    def usage_filter(self) -> Filter:
        """A fresh filter for a reply to a request with ``asks_usage``."""
        ...

    def error_body(self, status: int, message: str, code: str | None) -> bytes:
        """An error in the shape that the provider's SDKs understand."""
        ...
