"""The agent protocol over a session's stdin and stdout: one case in, one answer out."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from pacabench.aio import settle
from pacabench.model import Case, CaseKey
from pacabench.protocol import MAX_LINE_BYTES, Answer, encode_case, parse_answer
from pacabench.sandbox.base import Session

MOST_TIMES_OVER = 10
"""A countdown that stands still ends after so many times its length all the same."""
LOG_KEPT_BYTES = 256 * 1024
"""Of what an agent prints besides its answer, per attempt."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back for one case."""

    answer: Answer | None
    timed_out: bool
    silent: bool
    """The output ended before a single line came."""
    log: bytes
    """Lines that were no answer, the first ``LOG_KEPT_BYTES`` of them. Untrusted."""
    duration_ms: float
    cut: bool = False
    """A line before the answer was longer than any may be."""
    capped: bool = False
    """It timed out while its countdown stood still: not for what the agent did in its own time."""


class Countdown:
    """The time an agent has for a case. It can stand still, but not for ever."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.held = False
        self._deadline: asyncio.Timeout | None = None
        self._left_s = timeout_s
        self._latest = 0.0

    def start(self) -> asyncio.Timeout:
        """Begin; enter what comes back at once."""
        now = asyncio.get_running_loop().time()
        self._latest = now + self.timeout_s * MOST_TIMES_OVER
        when = self._latest if self.held else now + self.timeout_s
        self._deadline = asyncio.timeout_at(when)
        return self._deadline

    def end(self) -> None:
        """The agent is done; what is heard from now on changes nothing."""
        self._deadline = None

    def hold(self, still: bool) -> None:
        """Stand still, or go on."""
        if still == self.held:
            return
        self.held = still
        deadline, now = self._deadline, asyncio.get_running_loop().time()
        if deadline is None or deadline.expired() or (when := deadline.when()) is None:
            return
        if still:
            self._left_s = when - now
            deadline.reschedule(self._latest)
        else:
            deadline.reschedule(min(self._latest, now + self._left_s))


def shown_id(case: Case, key: CaseKey) -> str:
    """The case id that the agent sees: the data set's own, or an opaque one where it is hidden."""
    return key.digest if case.hidden else case.case_id


async def drain(session: Session) -> bool:
    """Throw away what an idle worker printed since its last answer.

    Returns False when its output has ended: the worker is dead.
    """
    while True:
        try:
            async with asyncio.timeout(0):
                if await session.read_line() is None:
                    return False
        except TimeoutError:
            return True


async def ask(
    session: Session,
    case: Case,
    key: CaseKey,
    *,
    countdown: Countdown,
    last: bool,
    files: Sequence[str] | None = None,
) -> Reply:
    """Send ``case`` and wait for the first valid answer, the end of the output, or the timeout.

    The case is written while the answer is awaited, so an agent that never reads its stdin cannot
    hold anything up. ``last`` closes stdin behind the case. ``files`` are those that were placed.

    Raises:
        SandboxError: the stream broke for another reason than the agent's end.
    """
    seen = shown_id(case, key)
    started = time.monotonic()
    reader = _Reader(session, seen)
    line = encode_case(case, shown_id=seen, files=files)
    sending = asyncio.ensure_future(session.send(line, last=last))
    reading = asyncio.ensure_future(reader.read())
    timed_out = False
    try:
        async with countdown.start():
            await asyncio.wait({sending, reading}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                await sending  # raises if it failed
                await reading
    except TimeoutError:
        timed_out = True
    finally:
        countdown.end()
        await settle({sending, reading})
    if not timed_out:
        reading.result()
    return Reply(
        answer=reader.answer,
        timed_out=timed_out,
        silent=reader.lines == 0,
        cut=reader.cut,
        log=bytes(reader.log),
        duration_ms=(time.monotonic() - started) * 1000,
        capped=timed_out and countdown.held,
    )


class _Reader:
    """Reads up to the first answer; what it read so far survives a timeout."""

    def __init__(self, session: Session, shown_id: str) -> None:
        self._session = session
        self._shown_id = shown_id
        self.answer: Answer | None = None
        self.lines = 0
        self.cut = False
        self.log = bytearray()

    async def read(self) -> None:
        while (line := await self._session.read_line()) is not None:
            self.lines += 1
            answer = parse_answer(line)
            if answer is not None and answer.case_id in {None, self._shown_id}:
                self.answer = answer
                return
            self.cut |= len(line) >= MAX_LINE_BYTES
            room = LOG_KEPT_BYTES - len(self.log)
            if room > 0:
                self.log += line[: room - 1] + b"\n"
