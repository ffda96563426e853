"""A provider on loopback that keeps books: what it billed is known exactly.

It speaks every wire format, and behaves as its providers do where that matters for counting: a chat
stream carries usage only when ``include_usage`` asks for it, and a client that hangs up is billed
for the whole reply.
"""

import asyncio
import contextlib
import hashlib
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any, Self

import orjson
from aiohttp import web

from pacabench.proxy.replies.completion import Tokens
from pacabench.testing.operations import Operation, key_of, operation_of
from pacabench.testing.reply import Rendered, Reply, render

BOOKS_PATH = "/books"
"""GET answers with what was billed so far, as JSON: for providers in another process."""
_PREFIX = "/v1"
_MAX_BODY_BYTES = 128 * 1024**2

Request = dict[str, Any]
Answer = Callable[[Request], Reply]


@dataclass(slots=True)
class Billed:
    """One request in the books."""

    target: str
    """The path as it came, undecoded."""
    model: str | None
    stream: bool
    key: str | None
    """As it came, so that a test can see which key reached the provider."""
    status: int | None = None
    tokens: Tokens | None = None
    """None where nothing was billed."""
    client_gone: bool = False
    """Hung up before the end; billed all the same."""
    reset: bool = False
    """Broken off by the provider itself."""
    sent_digest: str | None = None
    """SHA-256 of the body's bytes, once all of them were written."""
    sent_bytes: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    """Of the request; names in lower case."""
    body: bytes = b""


class FakeProvider:
    """A server that speaks every wire format, as an async context manager.

    Args:
        answer: what to reply to a request's body; says ``ok`` to everything by default.
        host: where to listen.
        port: 0 for any free one.
    """

    def __init__(
        self,
        answer: Answer = lambda _: Reply(),
        *,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.answer = answer
        self.books: list[Billed] = []
        self._host = host
        self._port = port
        self._runner: web.ServerRunner | None = None

    @property
    def base_url(self) -> str:
        """As OpenAI's SDK takes it, ``/v1`` included."""
        return f"{self.origin}{_PREFIX}"

    @property
    def origin(self) -> str:
        """As Anthropic's, Google's and Azure's SDKs take it."""
        return f"http://{self._host}:{self._port}"

    def totals(self) -> Tokens:
        """All tokens billed so far."""
        billed = [entry.tokens for entry in self.books if entry.tokens is not None]
        return Tokens(
            prompt=sum(tokens.prompt for tokens in billed),
            completion=sum(tokens.completion for tokens in billed),
            cached=sum(tokens.cached for tokens in billed),
            reasoning=sum(tokens.reasoning for tokens in billed),
            cache_write=sum(tokens.cache_write for tokens in billed),
            cache_write_1h=sum(tokens.cache_write_1h for tokens in billed),
        )

    async def __aenter__(self) -> Self:
        self._runner = web.ServerRunner(
            web.Server(self._handle, auto_decompress=False), shutdown_timeout=0.1
        )
        await self._runner.setup()
        listener = socket.create_server((self._host, self._port), backlog=1024)
        self._port = listener.getsockname()[1]
        await web.SockSite(self._runner, listener).start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.raw_path == BOOKS_PATH:
            return web.Response(body=self._books_json(), content_type="application/json")
        body = b"".join([chunk async for chunk in request.content.iter_any()])
        asked = _object(body)
        headers = {name.lower(): value for name, value in request.headers.items()}
        operation = operation_of(request.raw_path)
        entry = Billed(
            target=request.raw_path,
            model=asked.get("model", operation.model if operation is not None else None),
            stream=operation is not None and operation.is_streamed(asked),
            key=key_of(headers),
            headers=headers,
            body=body,
        )
        self.books.append(entry)
        if operation is None:
            entry.status = 404
            return web.Response(status=404, text="no such path")
        return await self._reply(request, entry, self.answer(asked), operation, asked)

    async def _reply(
        self,
        request: web.BaseRequest,
        entry: Billed,
        reply: Reply,
        operation: Operation,
        asked: Request,
    ) -> web.StreamResponse:
        if reply.silent:
            await asyncio.Event().wait()
        await asyncio.sleep(reply.delay_s)
        rendered = render(reply, operation, asked)
        if reply.reset_after == 0:
            _reset(request, entry)
            return web.Response()
        entry.status, entry.tokens = rendered.status, rendered.tokens
        response = web.StreamResponse(status=rendered.status, headers=_headers(rendered))
        try:
            await response.prepare(request)
            await self._write(request, response, entry, reply, rendered)
        except ConnectionError:
            entry.client_gone = True
        return response

    async def _write(
        self,
        request: web.BaseRequest,
        response: web.StreamResponse,
        entry: Billed,
        reply: Reply,
        rendered: Rendered,
    ) -> None:
        digest = hashlib.sha256()
        for number, part in enumerate(rendered.parts, start=1):
            await response.write(part)
            digest.update(part)
            entry.sent_bytes += len(part)
            if number == reply.reset_after:
                # What was written has to be on its way before the connection is broken.
                await asyncio.sleep(0.02)
                _reset(request, entry)
                return
            await asyncio.sleep(reply.pause_s)
        entry.sent_digest = digest.hexdigest()
        await response.write_eof()

    def _books_json(self) -> bytes:
        calls = [
            {
                "target": entry.target,
                "model": entry.model,
                "stream": entry.stream,
                "status": entry.status,
                "tokens": None if entry.tokens is None else asdict(entry.tokens),
                "client_gone": entry.client_gone,
                "reset": entry.reset,
            }
            for entry in self.books
        ]
        return orjson.dumps({"calls": calls, "totals": asdict(self.totals())})


@contextlib.contextmanager
def provider_in_thread(answer: Answer = lambda _: Reply()) -> Iterator[FakeProvider]:
    """A provider for code that is not async; it runs in a thread of its own."""
    provider, started = FakeProvider(answer), threading.Event()
    stop: asyncio.Event | None = None
    loop: asyncio.AbstractEventLoop | None = None

    async def run() -> None:
        nonlocal stop, loop
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        async with provider:
            started.set()
            await stop.wait()

    # `asyncio.run` ends with the loop what is still being answered, and what that left behind.
    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    try:
        if not started.wait(10):
            raise TimeoutError("the fake provider did not start")
        yield provider
    finally:
        if loop is not None and stop is not None:
            loop.call_soon_threadsafe(stop.set)
        thread.join(10)


def serve(answer: Answer = lambda _: Reply(), *, host: str = "127.0.0.1", port: int = 0) -> None:
    """Run a provider as this process, until SIGTERM or SIGINT. Prints its base URL first."""

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with FakeProvider(answer, host=host, port=port) as provider:
            sys.stdout.write(f"{provider.base_url}\n")
            sys.stdout.flush()
            await stop.wait()

    asyncio.run(run())


def _headers(rendered: Rendered) -> dict[str, str]:
    """What real providers send besides: some of it must reach the agent, some must not."""
    return {
        "x-request-id": "req_fake",
        "x-ratelimit-remaining-tokens": "1000",
        "openai-organization": "org-secret",
        "Set-Cookie": "session=secret",
        **rendered.headers,
    }


def _reset(request: web.BaseRequest, entry: Billed) -> None:
    """Break the connection with a RST."""
    entry.reset = True
    transport = request.transport
    if transport is not None:
        linger = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()


def _object(body: bytes) -> Request:
    try:
        found = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
