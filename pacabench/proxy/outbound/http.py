"""Requests to a provider over HTTP: what is written, and on which connection."""

import re
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from functools import lru_cache
from types import TracebackType

from yarl import URL

from pacabench import __version__
from pacabench.proxy.outbound.link import Link, LinkLostError
from pacabench.proxy.outbound.origin import Origin
from pacabench.proxy.outbound.pool import Pool, Session
from pacabench.proxy.sigv4 import Credentials, signed_headers
from pacabench.proxy.upstream import Reply, UpstreamError, UpstreamRequest

_TARGET = re.compile(r"[!-~]+")
_OF_ALL = f"User-Agent: pacabench/{__version__}\r\nAccept-Encoding: identity\r\n"
_AGAIN = frozenset({"GET"})
"""Methods of which two do no more than one."""


class HttpUpstream:
    """A provider behind ``base_url``."""

    def __init__(self, session: Session, base_url: str, forward_proxy: str | None = None) -> None:
        self._base_url = base_url
        origin = Origin.of(base_url, forward_proxy)
        self._pool = session.pool(origin)
        path = URL(base_url, encoded=True).raw_path.removesuffix("/")
        gate = origin.gate
        if gate is None or origin.tls:
            self._before_target, self._always = path, f"Host: {origin.named}\r\n{_OF_ALL}"
        else:
            # A forward proxy is told the whole URL, where it is not just a tunnel.
            login = "" if gate.login is None else f"Proxy-Authorization: {gate.login}\r\n"
            self._before_target = f"http://{origin.named}{path}"
            self._always = f"Host: {origin.named}\r\n{_OF_ALL}{login}"

    def send(self, request: UpstreamRequest) -> AbstractAsyncContextManager[Reply]:
        """See :class:`~pacabench.proxy.upstream.Upstream`. Redirects are not followed.

        On leaving, a reply that was not read to its end takes its connection with it.
        """
        return _Sending(self._pool, request.endpoint.method, self._head(request), request.body)

    def _head(self, request: UpstreamRequest) -> bytes:
        """The request's head.

        Raises:
            UpstreamError: it would be another one to whoever reads it.
        """
        method, headers, size = request.endpoint.method, self._headers(request), len(request.body)
        first = _beginning(method, self._before_target + request.target, self._always)
        lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
        if size or method != "GET":
            lines.append(f"Content-Length: {size}\r\n")
        more = "".join(lines)
        if not more.isascii() or more.count("\n") != len(lines) or more.count("\r") != len(lines):
            raise UpstreamError("a header of the request holds what no header can hold")
        return f"{first}{more}\r\n".encode("ascii")

    def _headers(self, request: UpstreamRequest) -> Mapping[str, str]:
        return request.headers


class SignedUpstream(HttpUpstream):
    """A provider behind ``base_url`` that takes AWS's signature in place of a key."""

    def __init__(
        self,
        session: Session,
        base_url: str,
        credentials: Credentials,
        forward_proxy: str | None = None,
    ) -> None:
        super().__init__(session, base_url, forward_proxy)
        self._credentials = credentials

    def _headers(self, request: UpstreamRequest) -> Mapping[str, str]:
        url = URL(self._base_url + request.target, encoded=True)
        signed = signed_headers(self._credentials, request.endpoint.method, url, request.body)
        return {**request.headers, **signed}


class _Sending(AbstractAsyncContextManager[Reply]):
    """One request on its way."""

    __slots__ = ("_body", "_head", "_link", "_method", "_pool")

    def __init__(self, pool: Pool, method: str, head: bytes, body: bytes) -> None:
        self._pool, self._method, self._head, self._body = pool, method, head, body
        self._link: Link | None = None

    async def __aenter__(self) -> Reply:
        """Wait for the reply's head."""
        link = self._pool.take()
        if link is not None:
            try:
                return await self._asked(link)
            except LinkLostError:
                if self._method not in _AGAIN:
                    raise
        return await self._asked(await self._pool.dial())

    async def _asked(self, link: Link) -> Reply:
        answer = link.ask(self._head, self._body)
        try:
            await answer.begun()
        except BaseException:
            link.let_go()
            raise
        self._link = link
        return Reply(answer.status, answer.headers, answer, answer)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        link, self._link = self._link, None
        if link is not None and link.let_go():
            self._pool.give_back(link)


@lru_cache(maxsize=512)
def _beginning(method: str, target: str, always: str) -> str:
    """The request line, and the headers that are the same each time."""
    if not _TARGET.fullmatch(target):
        raise UpstreamError("the request's path holds what no URL can hold")
    return f"{method} {target} HTTP/1.1\r\n{always}"
