"""A provider that costs next to nothing: chat completions out of prepared bytes.

A bare asyncio protocol, so that the proxies are what is measured. What it answers is said by the
model that is asked for:

    plain              one document
    stream-COUNT-MS    so many events, so many milliseconds apart; 0: one after the other
    silent             one event, then nothing

The text of each event is the moment (``time.monotonic_ns``) at which it was written, and that clock
is the same for all processes of a machine: the other end knows how long each event was on its way.

    python upstream.py        prints its port, serves until stdin ends
"""

import asyncio
import gc
import re
import resource
import sys
import time

PROMPT_TOKENS, COMPLETION_TOKENS = 120, 50
_MODEL = re.compile(rb'"model"\s*:\s*"([^"]+)"')
_ASKS_USAGE = re.compile(rb'"include_usage"\s*:\s*true')
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_HEAD = (
    "HTTP/1.1 200 OK\r\ndate: Tue, 02 Jan 2024 03:04:05 GMT\r\nserver: upstream\r\n"
    "content-type: {kind}\r\nopenai-version: 2020-10-01\r\nopenai-processing-ms: 12\r\n"
    "x-request-id: req_0123456789abcdef0123456789abcdef\r\n"
    "x-ratelimit-limit-requests: 10000\r\nx-ratelimit-remaining-requests: 9999\r\n"
    "x-ratelimit-reset-requests: 6ms\r\nstrict-transport-security: max-age=15724800\r\n"
    "cf-cache-status: DYNAMIC\r\ncf-ray: 0123456789abcdef-FRA\r\n{framing}\r\n\r\n"
)
_USAGE = (
    f'"usage":{{"prompt_tokens":{PROMPT_TOKENS},"completion_tokens":{COMPLETION_TOKENS},'
    f'"total_tokens":{PROMPT_TOKENS + COMPLETION_TOKENS},'
    '"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},'
    '"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0}}'
)
_COMMON = '"id":"chatcmpl-0123456789abcdefghijklmnopq","created":1700000000,"model":"gpt-4o-mini"'
_TEXT = "The quick brown fox jumps over the lazy dog. " * 4
_DOCUMENT = (
    f'{{{_COMMON},"object":"chat.completion","choices":[{{"index":0,"message":{{"role":"assistant",'
    f'"content":"{_TEXT}","refusal":null}},"logprobs":null,"finish_reason":"stop"}}],{_USAGE},'
    '"system_fingerprint":"fp_0123456789"}'
)
_CHUNK = (
    f'data: {{{_COMMON},"object":"chat.completion.chunk","system_fingerprint":"fp_0123456789",'
    '"choices":[{"index":0,"delta":{"content":"%d"},"logprobs":null,"finish_reason":null}]}\n\n'
)
_LAST = (
    f'data: {{{_COMMON},"object":"chat.completion.chunk","system_fingerprint":"fp_0123456789",'
    '"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}\n\n'
)
_USAGE_CHUNK = (
    f'data: {{{_COMMON},"object":"chat.completion.chunk","system_fingerprint":"fp_0123456789",'
    f'"choices":[],{_USAGE}}}\n\n'
)


def _head(kind: str, framing: str) -> bytes:
    return _HEAD.format(kind=kind, framing=framing).encode()


def _framed(text: str) -> bytes:
    return f"{len(text):x}\r\n{text}\r\n".encode()


PLAIN = _head("application/json", f"content-length: {len(_DOCUMENT)}") + _DOCUMENT.encode()
STREAM_HEAD = _head("text/event-stream; charset=utf-8", "transfer-encoding: chunked")
END = _framed(_LAST) + _framed("data: [DONE]\n\n") + b"0\r\n\r\n"
END_WITH_USAGE = _framed(_LAST) + _framed(_USAGE_CHUNK) + _framed("data: [DONE]\n\n") + b"0\r\n\r\n"


class Connection(asyncio.Protocol):
    """One client's requests, one after the other."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._parts: list[bytes] = []
        self._missing = 0
        self._left = 0
        self._pace_s = 0.0
        self._next_at = 0.0
        self._end = END

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Collect a request; answer when all of it is there."""
        self._parts.append(data)
        if self._missing:
            self._missing -= len(data)
        else:
            so_far = b"".join(self._parts)
            self._parts = [so_far]
            ends = so_far.find(b"\r\n\r\n")
            if ends < 0:
                return
            length = _LENGTH.search(so_far, 0, ends + 2)
            self._missing = ends + 4 + (int(length[1]) if length else 0) - len(so_far)
        if self._missing <= 0:
            request, self._missing = b"".join(self._parts), 0
            self._parts.clear()
            self._answer(request)

    def _answer(self, request: bytes) -> None:
        found = _MODEL.search(request)
        model = found[1].decode() if found else "plain"
        if not model.startswith(("stream-", "silent")):
            self._transport.write(PLAIN)
            return
        self._end = END_WITH_USAGE if _ASKS_USAGE.search(request) else END
        if model == "silent":
            self._transport.write(STREAM_HEAD + self._event())
            return
        _, count, pace_ms = model.split("-")
        self._left, self._pace_s = int(count) - 1, int(pace_ms) / 1000
        self._next_at = self._loop.time()
        self._transport.write(STREAM_HEAD + self._event())
        self._schedule()

    def _schedule(self) -> None:
        if self._pace_s:
            self._next_at += self._pace_s
            self._loop.call_at(self._next_at, self._go_on)
        else:
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        if self._transport.is_closing():
            return
        if self._left:
            self._left -= 1
            self._transport.write(self._event())
            self._schedule()
        else:
            self._transport.write(self._end)

    @staticmethod
    def _event() -> bytes:
        return _framed(_CHUNK % time.monotonic_ns())


async def serve() -> None:
    """Listen on a free port of the loopback, or of the address that was given."""
    address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1"
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, address, 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    _, _most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_most, _most))
    gc.disable()  # it keeps no cycles, and a collection would be somebody's latency
    asyncio.run(serve())
