"""A cassette for tests: one case, recorded by a real gateway and played by another."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pacabench.cassette import Player, Recorder, Shelf, open_cassette, read_header, start_cassette
from pacabench.json_pointer import parse_pointer
from pacabench.model import CallRecord, CaseKey, CaseResult, Outcome, new_attempt_id
from pacabench.proxy.exchange import Exchange, Frame, Keeping
from pacabench.proxy.replay import Replay
from pacabench.proxy.tapes import Tapes

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CASE = CaseKey("solver", "puzzles", "case-1")


def result_of(attempt_id: str, key: CaseKey, outcome: Outcome = Outcome.PASSED) -> CaseResult:
    return CaseResult(
        attempt_id, key, 1, outcome, "42", "42", None, None, time.time(), 1.0, None, None
    )


@dataclass
class Deck:
    """A cassette in ``directory``."""

    directory: Path
    ignore: Sequence[str] = ()
    attempt: str = field(default_factory=lambda: new_attempt_id(CASE))
    left_out: list[tuple[str, str]] = field(default_factory=list)

    @contextmanager
    def recorder(self, *keys: CaseKey, **more: Any) -> Iterator[Recorder]:
        made = (self.directory / "cassette.json").exists()
        start = read_header if made else partial(start_cassette, ignore=self.ignore)
        header = start(self.directory)
        pointers = tuple(parse_pointer(text) for text in header.ignore)
        known = {key.digest: key for key in keys or (CASE,)}
        with (
            open_cassette(self.directory),
            Recorder(self.directory, known, pointers, **more) as recorder,
        ):
            yield recorder

    def recording(self, recorder: Recorder, **more: Any) -> Tapes:
        def left_out(call_id: str, why: str) -> None:
            self.left_out.append((call_id, why))

        return Tapes(Keeping(**more), recorder.keep, left_out)

    async def seal(
        self,
        recorder: Recorder,
        records: Sequence[CallRecord],
        outcome: Outcome = Outcome.PASSED,
        key: CaseKey = CASE,
    ) -> None:
        for record in records:
            recorder.note(record)
        await recorder.seal(result_of(self.attempt, key, outcome))

    def player(self, ignore: Sequence[str] | None = None, **more: Any) -> Player:
        pointers = tuple(parse_pointer(text) for text in ignore or self.ignore)
        shelf, _ = Shelf.read(self.directory)
        return Player(self.directory, shelf, pointers, rehash=ignore is not None, **more)

    def playing(
        self, *, speed: float | None = None, ignore: Sequence[str] | None = None, **more: Any
    ) -> Tapes:
        pointers = tuple(parse_pointer(text) for text in ignore or self.ignore)
        return Tapes(replay=Replay(self.player(ignore, **more).find, pointers, speed))

    def all_bytes(self) -> bytes:
        return packed_too(self.directory)


def packed_too(folder: Path) -> bytes:
    """All that is below ``folder``: names, files, and what is packed into blobs."""
    parts = []
    for path in sorted(folder.rglob("*")):
        parts.append(str(path).encode())
        if path.is_file():
            content = path.read_bytes()
            parts.append(content)
            if path.suffix == ".zst":
                parts.append(zstd.decompress(content))
    return b"\n".join(parts)


def an_exchange(attempt: str = "a-1", **changes: Any) -> Exchange:
    values: dict[str, Any] = {
        "call_id": "c1",
        "attempt_id": attempt,
        "arrived_us": 1,
        "provider": "openai",
        "endpoint": "chat.completions",
        "model": "m",
        "method": "POST",
        "path": "/openai/chat/completions",
        "query": (),
        "request_headers": (("Content-Type", "application/json"),),
        "status": 200,
        "reply_headers": (("Content-Type", "application/json"),),
        "asked_usage": False,
        "ending": "whole",
        "error": None,
        "ended_us": 10,
        "request_bytes": 2,
        "reply_bytes": 4,
        "request": b"{}",
        "frames": (Frame(5, b"tr"), Frame(6, b"ue")),
    }
    return Exchange(**{**values, **changes})


async def eventually(holds: Callable[[], bool], within_s: float = 10) -> None:
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110 - polled on purpose
            await asyncio.sleep(0.01)
