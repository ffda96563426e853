"""The way to a provider over HTTP. ``scripted`` has another one, in process."""

import io
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from pacabench import __version__
from pacabench.proxy.wire import Endpoint

CONNECT_TIMEOUT_S = 30.0
READ_TIMEOUT_S = 600.0
"""Of silence. A reply may take as long as it likes in all."""
_WRITE_AT_ONCE_BYTES = 256 * 1024
_NOT_BY_ITSELF = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


class UpstreamError(Exception):
    """The provider could not be reached, or it broke off. The text holds no secret."""


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """What goes to the provider. The URL is made by the upstream out of the endpoint."""

    endpoint: Endpoint
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. ``chunks`` can be read once."""

    status: int
    headers: Mapping[str, str]
    """Names ignore case."""
    chunks: AsyncGenerator[bytes]
    """The body as it comes in, still encoded. Raises ``UpstreamError`` where it breaks off."""


class Upstream(Protocol):
    """Where requests of one provider go."""

    def send(self, request: UpstreamRequest) -> AbstractAsyncContextManager[Reply]:
        """Send it; the reply's head is there on entry.

        Raises:
            UpstreamError: no reply.
        """
        ...


class HttpUpstream:
    """A provider behind ``base_url``."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str) -> None:
        self._session = session
        self._base_url = base_url
        self._urls: dict[str, URL] = {}

    @asynccontextmanager
    async def send(self, request: UpstreamRequest) -> AsyncIterator[Reply]:
        """See :class:`Upstream`. Redirects are not followed, cookies not kept."""
        try:
            response = await self._session.request(
                request.endpoint.method,
                self._url(request.endpoint.path),
                data=_payload(request.body),
                headers=request.headers,
                allow_redirects=False,
                skip_auto_headers=_NOT_BY_ITSELF,
            )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise UpstreamError(_explain(error)) from error
        async with response:
            yield Reply(response.status, response.headers, _chunks(response))

    def _url(self, path: str) -> URL:
        if path not in self._urls:
            self._urls[path] = URL(self._base_url + path, encoded=True)
        return self._urls[path]


@asynccontextmanager
async def open_session() -> AsyncIterator[aiohttp.ClientSession]:
    """A client session for all providers.

    TLS is verified against the certificates in OpenSSL's default places, which ``SSL_CERT_FILE``
    and ``SSL_CERT_DIR`` move. Proxies of the environment, netrc and cookies are left alone.
    """
    connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=300)
    timeout = aiohttp.ClientTimeout(
        total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=READ_TIMEOUT_S
    )
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        trust_env=False,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=CIMultiDict(
            {"User-Agent": f"pacabench/{__version__}", "Accept-Encoding": "identity"}
        ),
    ) as session:
        yield session


def _payload(body: bytes) -> bytes | io.BytesIO | None:
    """What aiohttp cuts up: long bytes it writes in one go, which would hold up other calls."""
    if len(body) > _WRITE_AT_ONCE_BYTES:
        return io.BytesIO(body)
    return body or None


async def _chunks(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
    try:
        async for chunk in response.content.iter_any():
            yield chunk
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise UpstreamError(_explain(error)) from error


def _explain(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return f"the provider was silent for too long ({type(error).__name__})"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"the provider cannot be reached: {error}"
    return f"the provider broke off: {type(error).__name__}: {error}"
