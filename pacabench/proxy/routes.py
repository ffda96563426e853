"""What the gateway serves, by exact raw path, and what it answers to everything else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiohttp.web_request import BaseRequest

from pacabench.proxy.pacing import Pacer
from pacabench.proxy.upstream import Upstream
from pacabench.proxy.wire import Endpoint, WireFormat


@dataclass(frozen=True, slots=True)
class Provider:
    """A configured provider with its way out."""

    name: str
    wire: WireFormat
    upstream: Upstream
    api_key: str | None
    pacer: Pacer
    """Says when a call may go out. Shared with other names of the same server and key."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where one method and path lead."""

    provider: Provider
    endpoint: Endpoint


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that the provider never sees."""

    status: int
    message: str
    code: str | None = None


RouteTable = Mapping[tuple[str, str], Route]


def route_table(providers: Sequence[Provider], default: str) -> RouteTable:
    """Every route: ``/v1/...`` for the default provider, ``/NAME/v1/...`` for each one.

    Raises:
        ValueError: ``default`` is none of ``providers``.
    """
    if default not in {provider.name for provider in providers}:
        raise ValueError(f"the default provider {default!r} is not configured")
    table: dict[tuple[str, str], Route] = {}
    for provider in providers:
        prefixes = [f"/{provider.name}/v1", *(["/v1"] if provider.name == default else [])]
        for endpoint in provider.wire.endpoints:
            for prefix in prefixes:
                table[endpoint.method, prefix + endpoint.path] = Route(provider, endpoint)
    return table


def find_route(table: RouteTable, request: BaseRequest) -> Route | Refusal:
    """The route of ``request``. Its target is compared as sent: nothing is decoded or collapsed."""
    target = request.raw_path
    if request.method == "CONNECT":
        return Refusal(405, "This is not a forward proxy; CONNECT is not served.")
    if not target.startswith("/"):
        return Refusal(400, "This is not a forward proxy; send a path and no full URL.")
    if "Upgrade" in request.headers:
        return Refusal(426, "Only plain HTTP/1.1 is served; WebSocket and h2c are not.")
    route = table.get((request.method, target))
    if route is None:
        served = ", ".join(f"{method} {path}" for method, path in table)
        return Refusal(404, f"Not served here. What is: {served}", "not_served")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        return Refusal(415, "Send the request's body without Content-Encoding.")
    return route
