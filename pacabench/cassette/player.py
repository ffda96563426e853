"""Answers calls out of a cassette.

An attempt at a case is answered out of one recorded attempt at it: the k-th time that it sends a
request it gets what was answered the k-th time there. What other cases, agents or epochs ask makes
no difference, and so neither do order and concurrency.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pacabench.cassette.blobs import Blobs
from pacabench.cassette.halves import agent_of, half_of, is_judges, of_judge
from pacabench.cassette.index import RecordedCall
from pacabench.cassette.layout import BLOBS
from pacabench.cassette.shelf import Recording, Shelf
from pacabench.errors import CassetteError
from pacabench.json_pointer import Pointer
from pacabench.proxy.canonical import differing, outline, request_digest
from pacabench.proxy.exchange import Asked, Exchange
from pacabench.proxy.replay import Found
from pacabench.proxy.upstream import UpstreamError

_LOOKED_AT = 200
"""Recorded calls that are compared to say what differs."""
_POINTERS_SHOWN = 6


@dataclass(slots=True)
class _Attempt:
    """An attempt that is answered."""

    live: bool
    asked: Counter[str] = field(default_factory=Counter)
    """How often it sent a request, by the request's digest."""


class Player:
    """Finds recorded answers; ``find`` is for ``proxy.replay.Replay``.

    Args:
        directory: of the cassette.
        shelf: what it holds.
        ignore: what of requests' bodies is not compared.
        rehash: the index's digests left out something else, and are made anew.
        or_record: cases that the cassette does not hold go to their provider; so do those for
            which it turned out to hold no answer, when they are run again.
    """

    def __init__(
        self,
        directory: Path,
        shelf: Shelf,
        ignore: tuple[Pointer, ...],
        *,
        rehash: bool,
        or_record: bool = False,
    ) -> None:
        self._blobs = Blobs(directory / BLOBS)
        self._recordings = dict(shelf.recordings)
        self._ignore, self._rehash, self._or_record = ignore, rehash, or_record
        self._attempts: dict[str, _Attempt] = {}
        self._calls: dict[str, asyncio.Task[dict[str, list[RecordedCall]]]] = {}
        self._stale: set[str] = set()

    def is_live(self, attempt_id: str) -> bool:
        """Whether the attempt's calls go to a provider, now and to its end."""
        return self._or_record and self._attempt(attempt_id).live

    def forget(self, attempt_id: str) -> None:
        """The attempt is over."""
        self._attempts.pop(attempt_id, None)
        self._attempts.pop(of_judge(attempt_id), None)

    async def find(self, asked: Asked) -> Found:
        """The answer to a call.

        Raises:
            UpstreamError: it is there, and cannot be read.
        """
        attempt, case = self._attempt(asked.attempt_id), half_of(asked.attempt_id)
        if attempt.live:
            return Found(live=True)
        turn = attempt.asked[asked.digest]
        attempt.asked[asked.digest] += 1
        try:
            equal = (await self._calls_of(case)).get(asked.digest, [])
            if turn < len(equal):
                return Found(await self._exchange(equal[turn]))
            why = await self._why(case, asked, len(equal))
        except CassetteError as error:
            self._stale.add(case)
            raise UpstreamError(f"the cassette cannot be used: {error}") from error
        self._stale.add(case)
        return Found(why=why)

    def _attempt(self, attempt_id: str) -> _Attempt:
        found = self._attempts.get(attempt_id)
        if found is None:
            case = half_of(attempt_id)
            held = self._recording(case).take is not None and case not in self._stale
            if held and is_judges(case):  # an answer that is new was not judged before
                held = not self._attempt(agent_of(attempt_id)).live
            found = self._attempts[attempt_id] = _Attempt(live=self._or_record and not held)
        return found

    def _recording(self, case: str) -> Recording:
        return self._recordings.get(case, Recording())

    async def _calls_of(self, case: str) -> dict[str, list[RecordedCall]]:
        """The case's calls that can answer, by their request, each in the order of asking."""
        if case not in self._calls:
            self._calls[case] = asyncio.create_task(self._load(self._recording(case).calls))
        return await asyncio.shield(self._calls[case])

    async def _load(self, calls: Sequence[RecordedCall]) -> dict[str, list[RecordedCall]]:
        found: dict[str, list[RecordedCall]] = {}
        for call in calls:
            if call.answers:
                digest = await self._digest(call) if self._rehash else call.request
                found.setdefault(digest, []).append(call)
        return found

    async def _digest(self, call: RecordedCall) -> str:
        it = await self._exchange(call)
        return request_digest(it.method, it.path, it.query, it.request, self._ignore)

    async def _exchange(self, call: RecordedCall) -> Exchange:
        return await asyncio.to_thread(self._blobs.get, call.blob, call.size_bytes)

    async def _why(self, case: str, asked: Asked, equal: int) -> str:
        """Why there is no answer, and where the nearest recorded call differs."""
        recording = self._recording(case)
        if recording.take is None:
            of = "the judging of this case" if is_judges(case) else "this case"
            begun = case in self._recordings
            return (
                f"the recording of {of} was cut short"
                if begun
                else f"the cassette holds no recording of {of}"
            )
        if equal:
            return f"it was recorded {equal} times in this case, and is sent once more"
        calls = recording.calls
        where = await asyncio.to_thread(self._nearest, calls[:_LOOKED_AT], asked)
        return f"none of this case's {len(calls)} recorded calls is equal{where}"

    def _nearest(self, calls: Sequence[RecordedCall], asked: Asked) -> str:
        best: tuple[int, list[str]] | None = None
        for number, call in enumerate(calls, 1):
            exchange = self._blobs.get(call.blob, call.size_bytes)
            if f"{exchange.method} {exchange.path}" != asked.what:
                continue
            places = differing(outline(exchange.request, self._ignore), asked.outline)
            if best is None or len(places) < len(best[1]):
                best = number, places
        if best is None:
            return f"; none went to {asked.what}"
        number, places = best
        more = f" and {len(places) - _POINTERS_SHOWN} more" * (len(places) > _POINTERS_SHOWN)
        shown = ", ".join(place or "the whole body" for place in places[:_POINTERS_SHOWN])
        return f"; call {number} of it differs at {shown or 'its query'}{more}"
