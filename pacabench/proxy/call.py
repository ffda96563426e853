"""One LLM call, from its arrival to its record.

It does not end with the connection it came on: when the agent hangs up, the call goes on reading
until the provider has said what it bills.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping
from contextlib import aclosing

from multidict import CIMultiDict

from pacabench.model import CallRecord
from pacabench.proxy.client import Client, Refused
from pacabench.proxy.decode import BodyDecoder
from pacabench.proxy.record import CallDraft
from pacabench.proxy.routes import Route
from pacabench.proxy.upstream import Reply, UpstreamError, UpstreamRequest
from pacabench.proxy.usage import usage_source
from pacabench.proxy.wire import Meter, RequestFacts

DRAIN_S = 30.0
"""How long a call is read on after its client left."""
DRAIN_BYTES = 16 * 1024**2
ERROR_BODY_BYTES = 1024**2
"""How much of an error reply is looked at before it goes on."""
MAX_ERROR = 500
"""Characters of an error that are recorded."""
SHORTEST_SECRET = 8
"""A shorter key (``ollama``, ``none``) is a word like others, and not looked for in texts."""

_REQUEST_HEADERS = ("Content-Type", "Accept")
_REPLY_HEADERS = frozenset(
    {
        "content-type",
        "content-encoding",
        "content-length",
        "retry-after",
        "retry-after-ms",
        "x-should-retry",
        "x-request-id",
        "openai-processing-ms",
        "openai-version",
    }
)
_REPLY_PREFIX = "x-ratelimit-"


class DrainOver(Exception):  # noqa: N818 - a limit that was reached
    """Enough was read for a client that is not there."""


class Call:
    """Serves one request: ``run`` it, and tell it when its client left."""

    def __init__(
        self,
        route: Route,
        client: Client,
        *,
        attempt_id: str,
        path: str,
        headers: Mapping[str, str],
        begin: Callable[[CallDraft], None],
        end: Callable[[CallRecord], None],
        notice: Callable[[str], None],
    ) -> None:
        self._route = route
        self._client = client
        self._path = path
        self._headers = headers
        self._begin, self._end, self._notice = begin, end, notice
        self._draft = CallDraft(attempt_id, route.provider.name, route.endpoint.name)
        key = route.provider.api_key or ""
        self._secret = key if len(key) >= SHORTEST_SECRET else None
        self._arrived = self._sent = time.perf_counter()
        self._deadline: asyncio.Timeout | None = None
        self._meter: Meter | None = None

    def client_left(self) -> None:
        """The agent hung up: from now on the call is read for its usage only, and not for long."""
        self._client.gone = True
        if self._deadline is not None and self._deadline.when() is None:
            self._deadline.reschedule(asyncio.get_running_loop().time() + DRAIN_S)

    async def run(self) -> None:
        """Serve the call and record it, once, whatever happens.

        Cancellation cuts it: the agent's connection is closed, and what is known is recorded.
        """
        try:
            await self._within_deadline()
        except asyncio.CancelledError:
            self._client.break_off()
            self._draft.end = "client_gone"
            self._draft.error = "cut off: its attempt was over"
            raise
        except Refused as refusal:
            self._draft.end, self._draft.error = "denied", refusal.message
            await self._answer(refusal.status, refusal.message)
        except (ConnectionError, DrainOver, TimeoutError):
            self._draft.end = "client_gone"
        except Exception as error:  # noqa: BLE001 - a fault of ours must not lose the record
            self._notice(f"a call failed inside the proxy: {type(error).__name__}: {error}")
            self._draft.error = f"inside the proxy: {type(error).__name__}"
            await self._fail(500, "The metering proxy failed.")
        finally:
            self._client.release()
            self._close_record()

    async def _within_deadline(self) -> None:
        async with asyncio.timeout(None) as self._deadline:
            if self._client.gone:
                self.client_left()
            await self._serve()

    async def _serve(self) -> None:
        body = await self._client.read_body()
        facts = self._route.provider.wire.read_request(self._route.endpoint, body)
        headers = self._request_headers()
        draft = self._draft
        draft.model, draft.stream = facts.model, facts.stream
        draft.request_bytes, draft.request_digest = len(body), _digest(self._path, body)
        self._begin(draft)
        self._sent = time.perf_counter()
        try:
            await self._exchange(facts, headers, body)
        except UpstreamError as error:
            draft.end = "client_gone" if self._client.gone else "upstream_error"
            draft.error = self._without_key(str(error))[:MAX_ERROR]
            await self._fail(502, str(error))

    async def _exchange(self, facts: RequestFacts, headers: dict[str, str], body: bytes) -> None:
        """Ask with usage where that is needed, and again without where it is not understood."""
        if facts.body_with_usage is not None:
            if await self._send(headers, facts.body_with_usage, asked_usage=True):
                return
            self._draft.retries = 1
        await self._send(headers, body, asked_usage=False)

    async def _send(self, headers: dict[str, str], body: bytes, *, asked_usage: bool) -> bool:
        provider, endpoint = self._route.provider, self._route.endpoint
        if provider.api_key is not None:
            headers = headers | provider.wire.key_headers(provider.api_key)
        request = UpstreamRequest(endpoint, headers, body if endpoint.method == "POST" else b"")
        async with provider.upstream.send(request) as reply, aclosing(reply.chunks):
            self._draft.status = reply.status
            head = await _error_head(reply)
            if asked_usage and provider.wire.refuses_usage(reply.status, head):
                return False
            await self._pass_on(reply, head, asked_usage=asked_usage)
        return True

    async def _pass_on(self, reply: Reply, head: bytes, *, asked_usage: bool) -> None:
        """Hand the reply to the agent byte for byte, and a copy of it to the meter."""
        wire = self._route.provider.wire
        events = reply.headers.get("Content-Type", "").startswith("text/event-stream")
        decoder = BodyDecoder(reply.headers.get("Content-Encoding", ""))
        sieve = wire.usage_filter() if asked_usage and events and decoder.identity else None
        self._meter = wire.meter(self._route.endpoint, events=events)
        clean_head = self._redacted(head)
        headers = self._reply_headers(reply, resized=sieve is not None or clean_head != head)
        await self._client.start(reply.status, headers, events=events)
        if head:
            self._took(head, decoder)
            await self._client.write(clean_head)
        async for chunk in reply.chunks:
            self._took(chunk, decoder)
            await self._client.write(chunk if sieve is None else sieve.feed(chunk))
            if self._client.missed_bytes > DRAIN_BYTES:
                raise DrainOver
        if sieve is not None:
            await self._client.write(sieve.finish())
        await self._client.finish()
        self._draft.end = "client_gone" if self._client.missed_bytes else "complete"

    def _took(self, chunk: bytes, decoder: BodyDecoder) -> None:
        if self._draft.ttft_ms is None:
            self._draft.ttft_ms = (time.perf_counter() - self._sent) * 1000
        self._draft.response_bytes += len(chunk)
        if self._meter is not None:
            for piece in decoder.feed(chunk):
                self._meter.feed(piece)

    async def _fail(self, status: int, message: str) -> None:
        """Tell the agent, or break off where the reply has begun."""
        if self._client.started:
            self._client.break_off()
        else:
            await self._answer(status, message)

    async def _answer(self, status: int, message: str) -> None:
        body = self._route.provider.wire.error_body(status, self._without_key(message), None)
        await self._client.answer(status, body)

    def _close_record(self) -> None:
        if self._meter is not None:
            self._add_reading(self._meter)
        self._draft.duration_ms = (time.perf_counter() - self._arrived) * 1000
        self._end(self._draft.record())

    def _add_reading(self, meter: Meter) -> None:
        found, draft = meter.read(), self._draft
        if found.broken and draft.end == "complete":
            draft.end = "upstream_error"
        draft.usage, draft.usage_source = found.usage, usage_source(found.usage)
        draft.raw_usage, draft.answered_model = found.raw_usage, found.model
        if draft.error is None and found.error is not None:
            draft.error = self._without_key(found.error)

    def _request_headers(self) -> dict[str, str]:
        """What goes on to the provider. It must not fail there for what only the agent can mend."""
        kept = {name: self._headers[name] for name in _REQUEST_HEADERS if name in self._headers}
        for name, value in kept.items():
            if not value.isascii() or not value.isprintable():
                raise Refused(400, f"The header {name} may hold printable ASCII only.")
        return kept

    def _reply_headers(self, reply: Reply, *, resized: bool) -> CIMultiDict[str]:
        kept: CIMultiDict[str] = CIMultiDict()
        for name, value in reply.headers.items():
            lower = name.lower()
            if (
                (lower not in _REPLY_HEADERS and not lower.startswith(_REPLY_PREFIX))
                or (resized and lower == "content-length")
                or (self._secret and self._secret in value)
            ):
                continue
            kept.add(name, value)
        return kept

    def _redacted(self, head: bytes) -> bytes:
        return head.replace(self._secret.encode(), b"[key]") if self._secret and head else head

    def _without_key(self, text: str) -> str:
        return text.replace(self._secret, "[key]") if self._secret else text


async def _error_head(reply: Reply) -> bytes:
    """The beginning of an error's body, as a rule all of it; nothing of a good reply's."""
    parts: list[bytes] = []
    size = 0
    if reply.status >= 400:  # noqa: PLR2004 - HTTP's own border
        async for chunk in reply.chunks:
            parts.append(chunk)
            size += len(chunk)
            if size > ERROR_BODY_BYTES:
                break
    return b"".join(parts)


def _digest(path: str, body: bytes) -> str:
    digest = hashlib.blake2b(path.encode("utf-8", "surrogateescape"), digest_size=16)
    digest.update(b"\0")
    digest.update(body)
    return digest.hexdigest()
