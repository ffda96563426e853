"""The load generator: keep-alive HTTP clients that cost little beside what they measure.

One JSON line on stdin is a job, one JSON line on stdout its result. Standard library only and
importing nothing of its neighbours, so that it also runs inside a lane: ``python3 - < load.py``.

A job has ``host``, ``port``, ``path``, ``headers``, ``body`` (JSON), ``connections``, and either
``requests`` (of each connection) or ``seconds``. ``pace_ms`` is a pause after each reply,
``spread_ms`` the time over which the connections begin, ``warm_up`` how many first requests of each
connection do not count. ``hold: true`` opens the connections, waits for a first event on each, and
keeps them until the next job. ``{"connections": 0}`` only ends what is held.

Every reply has to be a 200 and every stream has to bring the number of events that its ``body``
asks for; anything else fails the job.
"""

import asyncio
import gc
import json
import re
import resource
import statistics
import sys
import time
from typing import Any

_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:\s*chunked", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection:\s*close", re.IGNORECASE)
_EVENT = re.compile(rb'"content"\s*:\s*"(\d{9,})"')
"""An event of ``upstream.py``: its text is the moment at which it was written."""
_JOB_WITHIN_S = 120.0


class Framing:
    """Where a reply ends: HTTP/1.1 with a length or in chunks."""

    def __init__(self) -> None:
        self._buffer = b""
        self._left = 0
        self._headless = True
        self._chunked = False
        self._last = False

    def feed(self, data: bytes) -> bool:
        """Take what was read; whether the reply is whole now.

        Raises:
            ValueError: it is no 200, or it closes the connection.
        """
        if self._headless:
            data = self._buffer + data
            ends = data.find(b"\r\n\r\n")
            if ends < 0:
                self._buffer = data
                return False
            self._take_head(data, ends)
            data, self._buffer = data[ends + 4 :], b""
        if not self._chunked:
            self._left -= len(data)
            return self._left <= 0
        return self._take_chunks(data)

    def _take_head(self, data: bytes, ends: int) -> None:
        if not data.startswith(b"HTTP/1.1 200") or _CLOSES.search(data, 0, ends):
            raise ValueError(f"not a good reply: {data[:2000].decode('latin-1')}")
        self._headless = False
        self._chunked = _CHUNKED.search(data, 0, ends) is not None
        length = _LENGTH.search(data, 0, ends + 2)
        self._left = int(length[1]) if length and not self._chunked else 0

    def _take_chunks(self, data: bytes) -> bool:
        """``_left`` is what is missing of the chunk that was begun, its line end included."""
        data = self._buffer + data
        self._buffer = b""
        place = 0
        while place < len(data):
            if self._left:
                step = min(self._left, len(data) - place)
                self._left -= step
                place += step
                if not self._left and self._last:
                    return True
                continue
            line = data.find(b"\r\n", place)
            if line < 0:
                self._buffer = data[place:]
                break
            size = int(data[place:line].split(b";")[0], 16)
            self._last = size == 0
            self._left = size + 2
            place = line + 2
        return False


class Findings:
    """What all connections of a job saw, in nanoseconds."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        """Events of one stream; 0: replies are documents."""
        self.latency: list[int] = []
        """Request written to reply whole."""
        self.ttft: list[int] = []
        """Request written to first event read."""
        self.on_way: list[int] = []
        """Event written by the provider to event read."""
        self.gaps: list[int] = []
        """Between reads that brought events of one stream."""
        self.reads = 0
        self.reads_of_many = 0
        """Those that brought two events or more."""
        self.asked = 0
        """Requests sent in all."""
        self.failure: str | None = None

    def result(self, wall_s: float) -> dict[str, Any]:
        """For the other end: figures in milliseconds."""
        return {
            "error": self.failure,
            "wall_s": wall_s,
            "asked": self.asked,
            "count": len(self.latency),
            "latency_ms": _figures(self.latency),
            "ttft_ms": _figures(self.ttft),
            "on_way_ms": _figures(self.on_way),
            "gap_ms": _figures(self.gaps),
            "reads": self.reads,
            "reads_of_many": self.reads_of_many,
        }


def _figures(values: list[int]) -> dict[str, float] | None:
    if not values:
        return None
    ordered = sorted(values)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] / 1e6

    return {
        "p50": at(0.5),
        "p90": at(0.9),
        "p99": at(0.99),
        "max": at(1.0),
        "mean": statistics.fmean(ordered) / 1e6,
    }


class Caller(asyncio.Protocol):
    """One connection: asks, waits for the whole reply, asks again."""

    def __init__(self, job: dict[str, Any], request: bytes, findings: Findings) -> None:
        self._request = request
        self._findings = findings
        self._loop = asyncio.get_running_loop()
        self._pace_s = job.get("pace_ms", 0) / 1000
        self._warm_up = job.get("warm_up", 0)
        self._requests = job.get("requests", sys.maxsize)
        self._hold = job.get("hold", False)
        self._asked_at = self._event_at = 0
        self._events = 0
        self._framing = Framing()
        self._over = False
        self.until = float("inf")
        """In the loop's time: a reply that ends later does not count and is the last one."""
        self.done: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody should hang up in the middle."""
        self._fail(f"the connection was closed: {exc}")

    def ask(self) -> None:
        """Send the request."""
        self._framing = Framing()
        self._events = self._event_at = 0
        self._findings.asked += 1
        self._asked_at = time.monotonic_ns()
        self._transport.write(self._request)

    def close(self) -> None:
        """Hang up."""
        self._over = True
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Note what one read brought."""
        now = time.monotonic_ns()
        if self._findings.wanted:
            self._note_events(now, _EVENT.findall(data))
        try:
            whole = self._framing.feed(data)
        except ValueError as error:
            self._fail(str(error))
            return
        if whole:
            self._note_reply(now)

    def _note_events(self, now: int, written: list[bytes]) -> None:
        if not written:
            return
        if not self._warm_up:
            found = self._findings
            if self._events:
                found.gaps.append(now - self._event_at)
            else:
                found.ttft.append(now - self._asked_at)
            found.on_way += [now - int(moment) for moment in written]
            found.reads += 1
            found.reads_of_many += len(written) > 1
        self._events += len(written)
        self._event_at = now
        if self._hold and not self.done.done():
            self.done.set_result(None)

    def _note_reply(self, now: int) -> None:
        if self._events != self._findings.wanted:
            self._fail(f"{self._events} events came, {self._findings.wanted} were sent")
            return
        self._requests -= 1
        if self._loop.time() > self.until:
            self._requests = 0
        elif self._warm_up:
            self._warm_up -= 1
        else:
            self._findings.latency.append(now - self._asked_at)
        if self._requests <= 0:
            self._end()
        elif self._pace_s:
            self._loop.call_later(self._pace_s, self.ask)
        else:
            self.ask()

    def _fail(self, why: str) -> None:
        if not self._over:
            self._findings.failure = why
            self._end()

    def _end(self) -> None:
        self._over = True
        if not self.done.done():
            self.done.set_result(None)


def _request(job: dict[str, Any]) -> bytes:
    body = json.dumps(job["body"], separators=(",", ":")).encode()
    headers = {"Host": f"{job['host']}:{job['port']}", **job["headers"]}
    headers["Content-Length"] = str(len(body))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {job['path']} HTTP/1.1\r\n{lines}\r\n".encode() + body


class Generator:
    """Runs jobs; keeps what a job holds."""

    def __init__(self) -> None:
        self._held: list[Caller] = []

    async def run(self, job: dict[str, Any]) -> dict[str, Any]:
        """One job."""
        for caller in self._held:
            caller.close()
        self._held.clear()
        if not job["connections"]:
            return {"error": None}
        loop = asyncio.get_running_loop()
        request = _request(job)
        model = job["body"]["model"].split("-")
        events = int(model[1]) if model[0] == "stream" else int(model[0] == "silent")
        findings = Findings(events)
        callers: list[Caller] = []
        for _ in range(job["connections"]):
            _, caller = await loop.create_connection(
                lambda: Caller(job, request, findings), job["host"], job["port"]
            )
            callers.append(caller)
        began = loop.time()
        for number, caller in enumerate(callers):
            caller.until = began + job.get("seconds", float("inf"))
            delay_s = job.get("spread_ms", 0) / 1000 * number / len(callers)
            loop.call_later(delay_s, caller.ask)
        try:
            async with asyncio.timeout(_JOB_WITHIN_S):
                await asyncio.gather(*(caller.done for caller in callers))
        except TimeoutError:
            findings.failure = f"not done within {_JOB_WITHIN_S:.0f} s"
        wall_s = min(loop.time() - began, job.get("seconds", float("inf")))
        if job.get("hold"):
            self._held = callers
        else:
            for caller in callers:
                caller.close()
        return findings.result(wall_s)


async def main() -> None:
    """Jobs from stdin until it ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2**24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    generator = Generator()
    while line := await reader.readline():
        gc.collect()
        result = await generator.run(json.loads(line))
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    _, _most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_most, _most))
    gc.disable()  # between jobs only: a collection would be counted as somebody's latency
    asyncio.run(main())
