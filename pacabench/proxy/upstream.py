"""The way to a provider over HTTP. ``scripted`` has another one, in process."""

import io
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from pacabench import __version__
from pacabench.proxy.patience import Patience
from pacabench.proxy.resolver import CheckedResolver
from pacabench.proxy.sigv4 import Credentials, signed_headers
from pacabench.proxy.wire import Endpoint

ERROR_BODY_BYTES = 1024**2
"""How much of an error reply is looked at before it goes on. A longer one is not tried again."""
_ERROR = 400
_WRITE_AT_ONCE_BYTES = 256 * 1024
_NOT_BY_ITSELF = ("Accept", "Content-Type")
"""Headers that aiohttp makes up where the agent sent none."""


class UpstreamError(Exception):
    """The provider could not be reached, or it broke off. The text holds no secret."""

    status = 502
    """What the agent is answered, where nothing of a reply went out."""


class UpstreamUnreachableError(UpstreamError):
    """There was no connection: the provider has not seen the request."""


class UpstreamSilentError(UpstreamError):
    """It took the request and said nothing for too long: it may be at work on it still."""


class UpstreamUnreadableError(UpstreamError):
    """Its reply is in a form that it was not asked for: asked again, it would bill twice."""


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """What goes to the provider."""

    endpoint: Endpoint
    headers: Mapping[str, str]
    body: bytes
    target: str
    """Path and query below the base URL."""
    model: str | None = None
    """That the path or the body asks for."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. ``chunks`` can be read once."""

    status: int
    headers: Mapping[str, str]
    """Names ignore case."""
    chunks: AsyncGenerator[bytes]
    """The body as it comes in, still encoded. Raises ``UpstreamError`` where it breaks off."""


async def error_head(reply: Reply) -> tuple[bytes, bool]:
    """The beginning of an error's body, and whether it is all of it; nothing of a good reply's."""
    parts: list[bytes] = []
    size = 0
    if reply.status >= _ERROR:
        async for chunk in reply.chunks:
            parts.append(chunk)
            size += len(chunk)
            if size > ERROR_BODY_BYTES:
                return b"".join(parts), False
    return b"".join(parts), True


def already_read(reply: Reply) -> Reply:
    """``reply`` without its body."""
    return Reply(reply.status, reply.headers, _nothing())


async def _nothing() -> AsyncGenerator[bytes]:
    return
    yield b""


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

    def __init__(
        self, session: aiohttp.ClientSession, base_url: str, forward_proxy: str | None = None
    ) -> None:
        self._session = session
        self._base_url = base_url
        self._proxy = forward_proxy

    @asynccontextmanager
    async def send(self, request: UpstreamRequest) -> AsyncIterator[Reply]:
        """See :class:`Upstream`. Redirects are not followed, cookies not kept."""
        url = _url(self._base_url + request.target)
        headers = self._headers(request, url)
        # None is the quick way: aiohttp looks at each name in the other one.
        left_out = tuple(name for name in _NOT_BY_ITSELF if name not in headers) or None
        try:
            response = await self._session.request(
                request.endpoint.method,
                url,
                data=_payload(request.body),
                headers=headers,
                allow_redirects=False,
                proxy=self._proxy,
                skip_auto_headers=left_out,
            )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise _explained(error) from error
        async with response:
            yield Reply(response.status, response.headers, _chunks(response))

    def _headers(self, request: UpstreamRequest, url: URL) -> Mapping[str, str]:
        del url
        return request.headers


class SignedUpstream(HttpUpstream):
    """A provider behind ``base_url`` that takes AWS's signature in place of a key."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        credentials: Credentials,
        forward_proxy: str | None = None,
    ) -> None:
        super().__init__(session, base_url, forward_proxy)
        self._credentials = credentials

    def _headers(self, request: UpstreamRequest, url: URL) -> Mapping[str, str]:
        signed = signed_headers(self._credentials, request.endpoint.method, url, request.body)
        return {**request.headers, **signed}


@asynccontextmanager
async def open_session(
    patience: Patience, private: Collection[str] = ()
) -> AsyncIterator[aiohttp.ClientSession]:
    """A client session for all providers; ``private`` hosts may be in a private network.

    TLS is verified against the certificates in OpenSSL's default places, which ``SSL_CERT_FILE``
    and ``SSL_CERT_DIR`` move. The environment's proxies, netrc and cookies are left alone.
    """
    connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=300, resolver=CheckedResolver(private))
    timeout = aiohttp.ClientTimeout(
        total=None, sock_connect=patience.connect_s, sock_read=patience.silence_s
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


@lru_cache(maxsize=256)
def _url(text: str) -> URL:
    return URL(text, encoded=True)


def _payload(body: bytes) -> bytes | io.BytesIO | None:
    """What aiohttp cuts up: long bytes it writes in one go, which would hold up other calls."""
    if len(body) > _WRITE_AT_ONCE_BYTES:
        return io.BytesIO(body)
    return body or None


async def _chunks(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
    try:
        content = response.content
        while chunk := await content.readany():
            yield chunk
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise _explained(error) from error


def _explained(error: BaseException) -> UpstreamError:
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return UpstreamUnreachableError(f"the provider cannot be reached: {error}")
    if isinstance(error, TimeoutError):
        kind = type(error).__name__
        return UpstreamSilentError(f"the provider was silent for too long ({kind})")
    return UpstreamError(f"the provider broke off: {type(error).__name__}: {error}")
