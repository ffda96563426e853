"""From the specs of providers to ways out: one wire format, upstream and pacer for each."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from urllib.parse import urlsplit

from pacabench.proxy.control import ProviderSpec
from pacabench.proxy.kinds import Way, ways_to
from pacabench.proxy.outbound.pool import open_session
from pacabench.proxy.pacing import Pacer, State
from pacabench.proxy.patience import Patience
from pacabench.proxy.routes import Provider
from pacabench.proxy.upstream import UpstreamError, UpstreamRequest
from pacabench.proxy.wire import Endpoint

_PROBE = Endpoint("probe", "GET", "/models")
_PROBE_WITHIN_S = 20.0
_OVERLOADED = frozenset({502, 503, 504, 529})
"""What stands before a server says so when the server is away, or the server when it cannot serve.
529 is Anthropic's."""


@asynccontextmanager
async def open_providers(
    specs: Sequence[ProviderSpec],
    patience: Patience,
    *,
    on_health: Callable[[str, State, str], None],
    notice: Callable[[str], None],
) -> AsyncIterator[list[Provider]]:
    """The providers of a run, ready to be asked.

    Raises:
        ValueError: one cannot be reached in any way that is known.
    """
    async with AsyncExitStack() as stack:
        private = {urlsplit(spec.base_url or "").hostname or "" for spec in specs if spec.private}
        private |= {urlsplit(spec.forward_proxy or "").hostname or "" for spec in specs}
        session = await stack.enter_async_context(open_session(patience, private))
        pacers: dict[tuple[str, str | None], Pacer] = {}
        providers: list[Provider] = []
        for spec in specs:
            ways = ways_to(spec, session)
            server = (spec.base_url or spec.name, spec.api_key)
            if server not in pacers:
                pacers[server] = Pacer(
                    spec.name,
                    patience,
                    probe=partial(_probe, ways[0]),
                    on_state=partial(on_health, spec.name),
                    notice=notice,
                )
                stack.push_async_callback(pacers[server].close)
            providers += [
                Provider(
                    spec.name,
                    way.wire,
                    way.upstream,
                    way.api_key,
                    pacers[server],
                    way.secrets,
                    frozenset(spec.allow_tools),
                )
                for way in ways
            ]
        yield providers


async def _probe(way: Way) -> str | None:
    """Why the provider is down, or None.

    Asks for its models. Many a gateway has no such list and answers 404, 500 or 501 although it
    serves calls: then it is there, and the next call shows how it does.
    """
    headers = {} if way.api_key is None else way.wire.key_headers(way.api_key)
    target = f"{next(iter(way.wire.roots.values()))}{_PROBE.path}"
    try:
        async with (
            asyncio.timeout(_PROBE_WITHIN_S),
            way.upstream.send(UpstreamRequest(_PROBE, headers, b"", target)) as reply,
        ):
            return f"HTTP status {reply.status}" if reply.status in _OVERLOADED else None
    except TimeoutError:
        return f"no answer within {_PROBE_WITHIN_S:.0f} s"
    except UpstreamError as error:
        return str(error)
