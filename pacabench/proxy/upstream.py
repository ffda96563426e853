"""What any way to a provider is: a request in, a reply out, and how that fails.

``outbound`` is the way over HTTP; ``scripted`` and replays have others, in process.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from pacabench.proxy.wire import Endpoint

ERROR_BODY_BYTES = 1024**2
"""How much of an error reply is looked at before it goes on. A longer one is not tried again."""
_ERROR = 400


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


class UpstreamRedirectError(UpstreamError):
    """It sends callers elsewhere, where nobody goes, and would again: ``base_url`` is wrong."""


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


class Chunks(Protocol):
    """A reply's body as it comes in, still encoded; an asynchronous generator is one.

    Raises:
        UpstreamError: it breaks off.
    """

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Itself."""
        ...

    async def __anext__(self) -> bytes:
        """The next bytes."""
        ...

    async def aclose(self) -> None:
        """No more are wanted."""
        ...


Take: TypeAlias = Callable[[bytes], bool]
"""Takes a piece of a body, without waiting; false where it wants no more for now."""


class Source(Protocol):
    """What a body comes from, where it can be poured."""

    async def pour(self, take: Take) -> bool:
        """See :meth:`Reply.pour`."""
        ...


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. ``chunks`` can be read once."""

    status: int
    headers: Mapping[str, str]
    """Names ignore case."""
    chunks: Chunks
    source: "Source | None" = None
    """A quicker way to the same."""

    async def pour(self, take: Take) -> bool:
        """Give the body to ``take``, piece by piece as it comes, and return at its end.

        Also where ``take`` wants no more for now: then with True, and it may be gone on with.

        Raises:
            UpstreamError: it breaks off.
            Exception: whatever ``take`` raises; then the rest is lost.
        """
        if self.source is not None:
            return await self.source.pour(take)
        async for chunk in self.chunks:
            if not take(chunk):
                return True
        return False


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
