"""From the specs of providers to ways out: one wire format, upstream and pacer for each."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import aiohttp

from pacabench.proxy.control import ProviderSpec
from pacabench.proxy.openai import OpenAIFormat
from pacabench.proxy.pacing import Pacer, State
from pacabench.proxy.patience import Patience
from pacabench.proxy.routes import Provider
from pacabench.proxy.scripted import ScriptedUpstream
from pacabench.proxy.upstream import (
    HttpUpstream,
    Upstream,
    UpstreamError,
    UpstreamRequest,
    open_session,
)
from pacabench.proxy.wire import Endpoint, WireFormat

_PROBE = Endpoint("probe", "GET", "/models")
_PROBE_WITHIN_S = 20.0
_SERVER_ERROR = 500


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
        session = await stack.enter_async_context(open_session(patience))
        pacers: dict[tuple[str, str | None], Pacer] = {}
        providers: list[Provider] = []
        for spec in specs:
            upstream, wire = _upstream(spec, session), OpenAIFormat()
            server = (spec.base_url or spec.name, spec.api_key)
            if server not in pacers:
                pacers[server] = Pacer(
                    spec.name,
                    patience,
                    probe=partial(_probe, upstream, wire, spec.api_key),
                    on_state=partial(on_health, spec.name),
                    notice=notice,
                )
                stack.push_async_callback(pacers[server].close)
            providers.append(Provider(spec.name, wire, upstream, spec.api_key, pacers[server]))
        yield providers


def _upstream(spec: ProviderSpec, session: aiohttp.ClientSession) -> Upstream:
    if spec.kind == "scripted":
        return ScriptedUpstream(spec.rules or [])
    if spec.kind == "openai" and spec.base_url is not None:
        return HttpUpstream(session, spec.base_url)
    raise ValueError(f"provider {spec.name!r}: no way to reach kind {spec.kind!r}")


async def _probe(upstream: Upstream, wire: WireFormat, api_key: str | None) -> str | None:
    """Why the provider is down, or None. Any answer but a 5xx to a question for models is good."""
    headers = {} if api_key is None else wire.key_headers(api_key)
    try:
        async with (
            asyncio.timeout(_PROBE_WITHIN_S),
            upstream.send(UpstreamRequest(_PROBE, headers, b"")) as reply,
        ):
            return f"HTTP status {reply.status}" if reply.status >= _SERVER_ERROR else None
    except TimeoutError:
        return f"no answer within {_PROBE_WITHIN_S:.0f} s"
    except UpstreamError as error:
        return str(error)
