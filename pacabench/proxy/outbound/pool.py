"""Connections to providers, kept for further requests while that makes sense."""

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from functools import cached_property
from time import monotonic

from pacabench.proxy.outbound.dialling import dial
from pacabench.proxy.outbound.link import Link
from pacabench.proxy.outbound.origin import Origin
from pacabench.proxy.patience import Patience
from pacabench.proxy.resolver import CheckedResolver
from pacabench.proxy.upstream import UpstreamUnreachableError

IDLE_S = 15.0
"""After which a connection is closed. Servers close theirs too, and a call on one that goes at the
same moment fails."""
MAX_IDLE = 256
"""Of one origin. The oldest go first."""
MAX_LINKS = 8192
"""Of all origins, so that calls whose agents left cannot use up the proxy's open files."""
_READ_BYTES = 256 * 1024
"""At once from one connection."""
_LAST_WORDS = 16
"""Turns of the event loop for connections that were closed to be gone."""


class Pool:
    """The connections to one origin."""

    def __init__(self, origin: Origin, session: "Session") -> None:
        self._origin, self._session = origin, session
        self._idle: deque[tuple[Link, float]] = deque()
        """With the moment since when; the newest, which is used next, is the last."""
        self._timer: asyncio.TimerHandle | None = None

    def take(self) -> Link | None:
        """One that was used before; it is the taker's now."""
        while self._idle:
            link, _ = self._idle.pop()
            if link.usable:
                return link
        return None

    async def dial(self) -> Link:
        """A fresh one; it is the caller's. Cancellation leaves nothing open.

        Raises:
            UpstreamUnreachableError: it cannot be had.
        """
        return await self._session.dial(self._origin)

    def give_back(self, link: Link) -> None:
        """A link that a further request may be sent on, once nobody waits for its answer."""
        self._idle.append((link, monotonic()))
        if len(self._idle) > MAX_IDLE:
            self._idle.popleft()[0].abort()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(IDLE_S, self._sweep)

    def close(self) -> None:
        """Forget them all."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._idle.clear()

    def _sweep(self) -> None:
        """Close what was idle for too long; look again while there are others."""
        self._timer = None
        while self._idle:
            link, since = self._idle[0]
            if link.usable and monotonic() < since + IDLE_S:
                loop = asyncio.get_running_loop()
                self._timer = loop.call_at(since + IDLE_S, self._sweep)
                return
            self._idle.popleft()
            link.abort()


class Session:
    """Everything that is open to providers."""

    def __init__(self, patience: Patience, resolver: CheckedResolver) -> None:
        self._patience, self._resolver = patience, resolver
        self._pools: dict[Origin, Pool] = {}
        self._links: set[Link] = set()
        self._buffer = memoryview(bytearray(_READ_BYTES))

    def pool(self, origin: Origin) -> Pool:
        """The one for ``origin``."""
        if origin not in self._pools:
            self._pools[origin] = Pool(origin, self)
        return self._pools[origin]

    async def dial(self, origin: Origin) -> Link:
        """See :meth:`Pool.dial`."""
        if len(self._links) >= MAX_LINKS:
            raise UpstreamUnreachableError(f"the proxy has {MAX_LINKS} connections already")
        within_s = self._patience.connect_s
        link = Link(self._patience.silence_s, self._links.discard, self._buffer)
        self._links.add(link)
        connected = False
        try:
            async with asyncio.timeout(within_s):
                await self._connect(link, origin)
            connected = True
        except TimeoutError as error:
            text = f"{_UNREACHABLE}: {origin.authority}: no connection within {within_s:g} s"
            raise UpstreamUnreachableError(text) from error
        except (OSError, ValueError) as error:  # names that are none are of the second kind
            why = f"{origin.authority}: {error}"
            raise UpstreamUnreachableError(f"{_UNREACHABLE}: {why}") from error
        finally:
            if not connected:
                self._links.discard(link)
        return link

    async def close(self) -> None:
        """Close all connections, those in use too."""
        for pool in self._pools.values():
            pool.close()
        for link in tuple(self._links):
            link.abort()
        for _ in range(_LAST_WORDS):
            if not self._links:
                break
            await asyncio.sleep(0)

    async def _connect(self, link: Link, origin: Origin) -> None:
        sock = await dial(origin, self._resolver)
        await asyncio.get_running_loop().create_connection(
            lambda: link,
            sock=sock,  # closed by what takes it over, also where that fails
            ssl=self._tls if origin.tls else None,
            server_hostname=origin.host.rstrip(".") if origin.tls else None,
        )

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Certificates and host names are verified. To make it takes long, so it waits for need."""
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        return context


@asynccontextmanager
async def open_session(patience: Patience, private: Collection[str] = ()) -> AsyncIterator[Session]:
    """A session for all providers; ``private`` hosts may be in a private network.

    TLS is verified against the certificates in OpenSSL's default places, which ``SSL_CERT_FILE``
    and ``SSL_CERT_DIR`` move. The environment's proxies are left alone: what is to be used of them
    stands in the providers' specs.
    """
    session = Session(patience, CheckedResolver(private))
    try:
        yield session
    finally:
        await session.close()


_UNREACHABLE = "the provider cannot be reached"
