"""The harness's end of the sidecar: requests with replies, and the calls as they come.

The sidecar container is started here too: its provider keys go over its stdin and nowhere else.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from pacabench import events
from pacabench.aio import settle
from pacabench.egress import EgressRecord
from pacabench.errors import SandboxError
from pacabench.model import CallRecord
from pacabench.proxy import control
from pacabench.proxy.control import Bind, Configure, Done, LaneDown, LaneUp, Ping, Unbind
from pacabench.proxy.pacing import State
from pacabench.proxy.terms import FREE, Ask, Terms
from pacabench.sandbox.base import SandboxContext
from pacabench.sandbox.docker.attach import Attachment
from pacabench.sandbox.docker.tape_desk import TapeDesk

READY_WITHIN_S = 30.0
BIND_WITHIN_S = 20.0
UNBIND_WITHIN_S = 45.0
"""Longer than the proxy's own patience with calls under way."""
SHUTDOWN_WITHIN_S = 15.0
PING_EVERY_S = 10.0
PING_WITHIN_S = 20.0
"""Then it is stuck: its agents' calls hang, and would be held against them."""
_LAST_LOOK_S = 0.5
_LOG_LIMIT_BYTES = 64 * 1024**2


@dataclass(eq=False, slots=True)
class LaneLink:
    """What the sidecar says of one lane."""

    up: asyncio.Event = field(default_factory=asyncio.Event)
    down: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once and for all: the holder is gone, or the sidecar."""


class Sidecar:
    """A configured sidecar. An async context manager: inside it its messages are read."""

    def __init__(self, attachment: Attachment, context: SandboxContext) -> None:
        self._attachment = attachment
        self._context = context
        self._tape_desk = TapeDesk(context.tapes, attachment.write)
        self._on_call = context.on_call
        self._on_egress = context.on_egress
        self._listener = context.listener
        self._ill: set[str] = set()
        """Providers that it said are down."""
        self._replies: dict[int, asyncio.Future[str | None]] = {}
        self._lanes: dict[str, LaneLink] = {}
        self._delivered: dict[str, set[str]] = {}
        """Attempt bound at present to ids of its calls and ways out that went to their sinks."""
        self._ready = asyncio.Event()
        self._seq = 0
        self._last_error = ""
        self._tasks: set[asyncio.Task[None]] = set()
        """Reads what it says, and asks now and then whether it lives."""
        self._deciding: set[asyncio.Task[None]] = set()
        self.lost = asyncio.Event()
        """The sidecar ended, or cannot be understood any more."""

    async def __aenter__(self) -> Self:
        self._tasks = {asyncio.create_task(self._read()), asyncio.create_task(self._keep_asking())}
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await settle({*self._tasks, *self._deciding})
        await self._tape_desk.close()
        self._give_up()

    @property
    def why(self) -> str:
        """What is known of its end, for a message."""
        tail = self._attachment.stderr_tail.strip().splitlines()
        return self._last_error or (tail[-1][:500] if tail else "it ended without a word")

    async def configure(self, configuration: Configure) -> None:
        """Tell it the providers and their keys, and wait until it serves.

        Raises:
            SandboxError: it does not come up.
        """
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                await self._attachment.write(control.encode(configuration))
                await self._ready.wait()
        except TimeoutError:
            raise SandboxError(f"the sidecar was not ready within {READY_WITHIN_S:.0f} s") from None
        if self.lost.is_set():
            raise SandboxError(f"the sidecar did not start: {self.why}")

    def link(self, lane: str) -> LaneLink:
        """Begin to follow ``lane``; call it before its holder starts."""
        found = self._lanes[lane] = LaneLink()
        if self.lost.is_set():
            self._drop(found)
        return found

    def unlink(self, lane: str) -> None:
        """Stop following ``lane``."""
        self._lanes.pop(lane, None)

    async def bind(
        self, lane: str, attempt_id: str, key: str, allow: Sequence[str], terms: Terms = FREE
    ) -> None:
        """Count calls in ``lane`` that carry ``key`` for ``attempt_id``.

        They are held to ``terms``. What ``allow`` lists of the web is open to it.

        Raises:
            SandboxError: the sidecar or the lane is gone.
        """
        self._delivered[attempt_id] = set()
        error = await self._request(
            lambda seq: Bind(seq, lane, attempt_id, key, list(allow), terms),
            within_s=BIND_WITHIN_S,
        )
        if error is not None:
            raise SandboxError(f"the sidecar refused an attempt: {error}")

    async def unbind(self, lane: str, attempt_id: str) -> bool:
        """Refuse all further in ``lane``. Then all of ``attempt_id`` went to the sinks.

        False: the lane went down before that, and maybe cut a call.

        Raises:
            SandboxError: the sidecar is gone, or stuck: what it had is in its spool.
        """
        error = await self._request(lambda seq: Unbind(seq, lane), within_s=UNBIND_WITHIN_S)
        # An error only says that the lane is gone; its calls were recorded and sent before that.
        self._delivered.pop(attempt_id, None)
        return error is None

    async def shut_down(self) -> None:
        """Ask it to end, and read what it still says."""
        try:
            async with asyncio.timeout(SHUTDOWN_WITHIN_S):
                await self._attachment.write(control.encode(control.Shutdown()))
                await self.lost.wait()
        except TimeoutError:
            self._last_error = "it did not end when asked"

    def deliver_missing(self, spooled: Iterable[CallRecord | EgressRecord]) -> None:
        """After its death: pass on what it had noted for bound attempts and not sent."""
        for record in spooled:
            own = _id_of(record)
            if own not in self._delivered.get(record.attempt_id, {own}):
                self._deliver(record)
        self._delivered.clear()

    def _deliver(self, record: CallRecord | EgressRecord) -> None:
        if record.attempt_id in self._delivered:
            self._delivered[record.attempt_id].add(_id_of(record))
        if isinstance(record, CallRecord):
            self._on_call(record)
        else:
            self._on_egress(record)

    async def _request(
        self, make: Callable[[int], control.Message], *, within_s: float
    ) -> str | None:
        self._check_alive()
        self._seq += 1
        seq = self._seq
        reply: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._replies[seq] = reply
        try:
            async with asyncio.timeout(within_s):
                await self._attachment.write(control.encode(make(seq)))
                await asyncio.wait({reply})
        except TimeoutError:
            # Where it was the harness that did nothing for so long, the reply waits to be read.
            await asyncio.wait({reply}, timeout=_LAST_LOOK_S)
        finally:
            self._replies.pop(seq, None)
        if not reply.done():
            self._last_error = f"it did not answer within {within_s:.0f} s"
            self._give_up()  # stuck is as good as dead: it is replaced, its spool read
            raise SandboxError(f"the sidecar is gone: {self.why}")
        return reply.result()

    async def _keep_asking(self) -> None:
        """Find out that it is stuck before the agents' time is over."""
        await self._ready.wait()
        while not self.lost.is_set():
            await asyncio.sleep(PING_EVERY_S)
            with contextlib.suppress(SandboxError):
                await self._request(Ping, within_s=PING_WITHIN_S)

    def _check_alive(self) -> None:
        if self.lost.is_set():
            raise SandboxError(f"the sidecar is gone: {self.why}")

    async def _read(self) -> None:
        try:
            while (line := await self._attachment.read_line()) is not None:
                self._take(control.decode(line))
        except (SandboxError, ValueError) as error:
            self._last_error = str(error)
        finally:
            self._give_up()

    def _take(self, message: control.Message) -> None:
        match message:
            case control.Call(record) | control.Egress(record):
                self._deliver(record)
            case control.Taped() | control.LeftOut() | control.Find():
                self._tape_desk.take(message)
            case Done(seq, error):
                self._settle_reply(seq, error)
            case LaneUp(lane) | LaneDown(lane) if lane in self._lanes:
                known = self._lanes[lane]
                (known.up if isinstance(message, LaneUp) else known.down).set()
            case control.Question() | control.Text() | control.Waited():
                self._take_of_attempt(message)
            case control.Health(provider, state, why):
                self._note_health(provider, state, why)
            case control.Ready():
                self._ready.set()
            case control.Notice(level, text):
                self._tell(level, text)
            case _:
                pass

    def _tell(self, level: str, text: str) -> None:
        if level == "error":
            self._last_error = text
        self._listener(events.Notice("warning", f"sidecar: {text}"))

    def _take_of_attempt(self, message: control.Question | control.Text | control.Waited) -> None:
        match message:
            case control.Question(ask):
                deciding = asyncio.create_task(self._decide(ask))
                self._deciding.add(deciding)
                deciding.add_done_callback(self._deciding.discard)
            case control.Text(text):
                self._context.on_text(text)
            case control.Waited(attempt_id, waiting, total_ms):
                self._context.on_wait(attempt_id, waiting, total_ms)

    async def _decide(self, ask: Ask) -> None:
        """Answer a question, however long that takes. What waits here waits for other calls."""
        if self._context.on_ask is not None:
            ruling = await self._context.on_ask(ask)
            await self._attachment.write(control.encode(control.Decision(ruling)))

    def _settle_reply(self, seq: int, error: str | None) -> None:
        reply = self._replies.get(seq)
        if reply is not None and not reply.done():
            reply.set_result(error)

    def _note_health(self, provider: str, state: State, why: str) -> None:
        if state == "up":
            self._ill.discard(provider)
        else:
            self._ill.add(provider)
        self._context.on_health(provider, state, why)

    def _give_up(self) -> None:
        self.lost.set()
        self._ready.set()
        for provider in [*self._ill]:
            # Whoever takes its place finds out anew.
            self._note_health(provider, "up", "")
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(SandboxError(f"the sidecar is gone: {self.why}"))
        for link in self._lanes.values():
            self._drop(link)

    @staticmethod
    def _drop(link: LaneLink) -> None:
        link.up.set()
        link.down.set()


def _id_of(record: CallRecord | EgressRecord) -> str:
    return record.call_id if isinstance(record, CallRecord) else record.egress_id


def log_writer(path: Path) -> Callable[[bytes], None]:
    """A sink for the sidecar's stderr: appends to ``path``, up to a limit.

    What it says may quote agents; it is kept as bytes and never shown raw.
    """
    written = 0

    def write(data: bytes) -> None:
        nonlocal written
        if written < _LOG_LIMIT_BYTES:
            written += len(data)
            with path.open("ab") as file:
                file.write(data)

    return write
