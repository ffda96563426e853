"""What the gateway serves, by exact raw path, and what it answers to everything else.

Each provider answers below ``/NAME``, and where its SDKs expect it: the default one first, then the
others in their order. Where two formats share a path (``GET /v1/models``), the request's headers
tell whose SDK sent it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pacabench.proxy.http.request import Request
from pacabench.proxy.keys import KEY_PARAMETER, without_key
from pacabench.proxy.pacing import Pacer
from pacabench.proxy.passage import KeyGuard
from pacabench.proxy.upstream import Upstream
from pacabench.proxy.wire import Endpoint, WireFormat

_SEGMENT = r"[A-Za-z0-9](?:[A-Za-z0-9._:@-]|%3A|%3a){0,199}"
"""What a name in a path may be: no slash in any form, and never ``.`` or ``..``."""
_NAMED = re.compile(r"\{(\w+)\}")
_VALUE = re.compile(r"[A-Za-z0-9._~:;,=-]{0,200}")
_SHOWN = 200
_COLON = re.compile("%3a", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Provider:
    """A configured provider with its way out. One that speaks several formats is there for each."""

    name: str
    wire: WireFormat
    upstream: Upstream
    api_key: str | None = field(repr=False)
    pacer: Pacer
    """Says when a call may go out. Shared with other names of the same server and key."""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """What must not come back in its replies, beside ``api_key``."""
    allowed_tools: frozenset[str] = frozenset()
    """``config.proxy.allow_provider_tools``: what it may do beside answering."""
    guard: KeyGuard = field(init=False, repr=False)
    key_headers: Mapping[str, str] = field(init=False, repr=False)
    """Those that carry the real key, if there is one."""

    def __post_init__(self) -> None:
        key = self.api_key
        object.__setattr__(self, "guard", KeyGuard(key, *self.secrets))
        headers = {} if key is None else self.wire.key_headers(key)
        object.__setattr__(self, "key_headers", headers)


@dataclass(frozen=True, slots=True)
class Route:
    """Where one request leads."""

    provider: Provider
    endpoint: Endpoint
    target: str
    """Path and query below the base URL, put together from the table and checked pieces."""
    params: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    """As it came, with the key that may be in it."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that the provider never sees."""

    status: int
    message: str
    code: str | None = None


@dataclass(frozen=True, slots=True)
class _Entry:
    provider: Provider
    endpoint: Endpoint
    served: str
    """The path with names in braces."""
    upstream: str
    """The same below the base URL."""
    pattern: re.Pattern[str] | None
    """None where the path has no names."""


class RouteTable:
    """Every route of a gateway.

    Raises:
        ValueError: ``default`` is none of ``providers``.
    """

    def __init__(self, providers: Sequence[Provider], default: str) -> None:
        if default not in {provider.name for provider in providers}:
            raise ValueError(f"the default provider {default!r} is not configured")
        ordered = sorted(providers, key=lambda provider: provider.name != default)
        self._providers = ordered
        self._exact: dict[tuple[str, str], list[_Entry]] = {}
        self._plain: dict[tuple[str, str], Route] = {}
        """What most requests ask for: a path of one provider's, without names and query."""
        self._patterns: list[_Entry] = []
        for provider in ordered:
            self._add(provider, f"/{provider.name}")
        for provider in ordered:
            self._add(provider, "")
        for asked, found in self._exact.items():
            if len(found) == 1:
                entry = found[0]
                self._plain[asked] = Route(entry.provider, entry.endpoint, entry.upstream)

    def find(self, request: Request) -> Route | Refusal:
        """The route of ``request``, whose path is compared as sent: nothing is decoded."""
        target = request.target
        if request.method == "CONNECT":
            return Refusal(405, "This is not a forward proxy; CONNECT is not served.")
        if not target.startswith("/"):
            return Refusal(400, "This is not a forward proxy; send a path and no full URL.")
        if "Upgrade" in request.headers:
            return Refusal(426, "Only plain HTTP/1.1 is served; WebSocket and h2c are not.")
        route = self._plain.get((request.method, target)) or self._match(request, target)
        if route is None:
            return self._not_served(request)
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            return Refusal(415, "Send the request's body without Content-Encoding.")
        return route

    def wire_of(self, request: Request) -> WireFormat:
        """The format in which whoever sent ``request`` understands an error."""
        path, _, raw_query = request.target.partition("?")
        query = _parsed(raw_query) or {}
        first = path.split("/", 2)[1] if path.startswith("/") else ""
        named = [provider for provider in self._providers if provider.name == first]
        for provider in (*named, *([] if named else self._providers)):
            if provider.wire.claims(request.headers, query):
                return provider.wire
        return (named or self._providers)[0].wire

    def _add(self, provider: Provider, prefix: str) -> None:
        for endpoint in provider.wire.endpoints:
            for root, upstream in provider.wire.roots.items():
                served = f"{prefix}{root}{endpoint.path}"
                pattern = _pattern(served) if "{" in served else None
                entry = _Entry(provider, endpoint, served, upstream + endpoint.path, pattern)
                if pattern is not None:
                    self._patterns.append(entry)
                else:
                    self._exact.setdefault((endpoint.method, served), []).append(entry)

    def _match(self, request: Request, target: str) -> Route | None:
        path, _, raw_query = target.partition("?")
        query = _parsed(raw_query)
        if query is None:
            return None
        found = [
            (entry, params)
            for entry, params in self._candidates(request.method, path)
            if query.keys() <= entry.endpoint.query | {KEY_PARAMETER}
            and all(query.get(name) in {None, *may} for name, may in entry.endpoint.values.items())
        ]
        if not found:
            return None
        claimed = (
            (entry, params)
            for entry, params in found
            if len(found) == 1 or entry.provider.wire.claims(request.headers, query)
        )
        entry, params = next(claimed, found[0])
        return Route(entry.provider, entry.endpoint, _target(entry, params, query), params, query)

    def _candidates(self, method: str, path: str) -> list[tuple[_Entry, dict[str, str]]]:
        exact = self._exact.get((method, path))
        if exact is not None:
            return [(entry, {}) for entry in exact]
        return [
            (entry, found.groupdict())
            for entry in self._patterns
            if entry.endpoint.method == method
            and entry.pattern is not None
            and (found := entry.pattern.fullmatch(path))
        ]

    def _not_served(self, request: Request) -> Refusal:
        target = without_key(request.target)[:_SHOWN]
        what = f"{request.method} {target}".encode("ascii", "backslashreplace").decode()
        served = ", ".join(dict.fromkeys(self._served()))
        return Refusal(404, f"{what} is not served here. What is: {served}", "not_served")

    def _served(self) -> Iterator[str]:
        for provider in self._providers:
            for endpoint in provider.wire.endpoints:
                root = next(iter(provider.wire.roots))
                yield f"{endpoint.method} {root}{endpoint.path}"


def _pattern(served: str) -> re.Pattern[str]:
    pieces = _NAMED.split(served)
    return re.compile(
        "".join(
            f"(?P<{piece}>{_SEGMENT})" if place % 2 else re.escape(piece)
            for place, piece in enumerate(pieces)
        )
    )


def _parsed(raw: str) -> dict[str, str] | None:
    """The query, undecoded; None where a value could mean something else to somebody else."""
    found: dict[str, str] = {}
    for part in raw.split("&") if raw else ():
        name, _, value = part.partition("=")
        if name in found or not _VALUE.fullmatch(value):
            return None
        found[name] = value
    return found


def _target(entry: _Entry, params: Mapping[str, str], query: Mapping[str, str]) -> str:
    path = _NAMED.sub(lambda name: params[name[1]], entry.upstream)
    kept = "&".join(f"{name}={value}" for name, value in query.items() if name != KEY_PARAMETER)
    return f"{path}?{kept}" if kept else path


def decoded(params: Mapping[str, str]) -> dict[str, str]:
    """The names in a path as the provider reads them."""
    return {name: _COLON.sub(":", value) for name, value in params.items()}
