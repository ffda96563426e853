"""Whether a run's LLM calls are recorded or answered out of a recording, and what follows."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ParamSpec

from pacabench.benchmark import Benchmark
from pacabench.capture import CUT, Capture
from pacabench.cassette import (
    Header,
    Player,
    Recorder,
    Shelf,
    index_digest,
    of_judge,
    open_cassette,
    read_header,
    start_cassette,
)
from pacabench.cassette_choice import CassetteChoice
from pacabench.config.proxy import ProxyConfig
from pacabench.config.replay import ReplayConfig
from pacabench.errors import CassetteError, UsageError
from pacabench.events import Listener, Notice
from pacabench.json_pointer import Pointer, parse_pointer
from pacabench.judging import Book
from pacabench.model import CallRecord, CaseKey, CaseResult, Outcome
from pacabench.proxy.exchange import Keeping
from pacabench.proxy.replay import Replay
from pacabench.proxy.tapes import Tapes
from pacabench.proxy.taping import Keep, LeftOut
from pacabench.scheduler import Again
from pacabench.store import CassetteRecord

P = ParamSpec("P")
_REASONS_TOLD = 5
"""Of calls that could not be recorded."""


def prepare(choice: CassetteChoice, benchmark: Benchmark) -> CassetteRecord:
    """The cassette of a run that begins now, made where it is missing.

    Raises:
        UsageError: the proxy is off, and so there are no calls.
        CassetteError: it cannot be used for that.
        JournalError: it cannot be written.
    """
    if not benchmark.providers and not benchmark.judges:
        raise UsageError(f"--{choice.mode}: `config.proxy.enabled` is false, so no call is seen")
    return begin_cassette(choice, benchmark.loaded.config.config.proxy.replay)


def begin_cassette(choice: CassetteChoice, config: ReplayConfig) -> CassetteRecord:
    """The cassette as it is now, made where it is missing.

    Raises:
        CassetteError, JournalError: as :func:`prepare`.
    """
    directory = choice.directory.absolute()
    exists = read_header(directory) if choice.sealed else None
    if choice.mode == "record":
        exists = start_cassette(directory, config.ignore)
    elif exists is None:
        if directory.exists() and not directory.is_dir():
            raise CassetteError(f"{directory} is no directory")
        empty = not directory.exists() or not any(directory.iterdir())
        exists = start_cassette(directory, config.ignore) if empty else read_header(directory)
    digest = None if choice.mode == "record" else index_digest(directory)
    return CassetteRecord(mode=choice.mode, directory=str(directory), id=exists.id, replayed=digest)


def refuse_other_cassette(choice: CassetteChoice | None, record: CassetteRecord | None) -> None:
    """A run that is gone on with keeps to what it was begun with.

    Raises:
        UsageError: something else is asked for now.
    """
    begun = None if record is None else (record.mode, Path(record.directory))
    asked = None if choice is None else (choice.mode, choice.directory.absolute())
    if asked != begun:
        how = (
            "neither recorded nor replayed"
            if begun is None
            else f"begun with --{begun[0]} {begun[1]}"
        )
        raise UsageError(f"this run was {how}; go on with it so, or begin a new run")


@dataclass(slots=True)
class Recording:
    """What a session of a run does about recordings. By default: nothing."""

    tapes: Tapes = field(default_factory=Tapes)
    recorder: Recorder | None = None
    capture: Capture | None = None
    player: Player | None = None
    sealed: bool = False
    judge_tapes: Tapes = field(default_factory=Tapes)
    seed: bytes | None = None
    """Of the codes in judges' questions: a judge is asked in the same words when it is replayed."""
    _unmatched: set[str] = field(default_factory=set)
    """Attempts with a call that has no answer in the cassette."""
    _judged: set[str] = field(default_factory=set)
    """Attempts whose judges were answered out of the cassette."""

    def heard(self, take: Callable[[CallRecord], None]) -> Callable[[CallRecord], None]:
        """``take``, and before it what is to be noted of a call that ended."""

        def heard(call: CallRecord) -> None:
            if call.replay == "unmatched":
                self._unmatched.add(call.attempt_id)
            if self.recorder is not None:
                self.recorder.note(call)
            take(call)

        return heard

    def heard_of_judge(self, take: Book) -> Book:
        """As :meth:`heard`, of a judge's call."""

        def heard(call: CallRecord, cost_usd: float | None) -> None:
            if call.replay == "unmatched":
                self._unmatched.add(call.attempt_id)
            if call.replay is not None:
                self._judged.add(call.attempt_id)
            if self.recorder is not None:
                self.recorder.note(replace(call, attempt_id=of_judge(call.attempt_id)))
            take(call, cost_usd)

        return heard

    async def seal(self, result: CaseResult) -> None:
        """Before a result counts: what was recorded of its attempt is on disk.

        Raises:
            JournalError, CassetteError: it is not, and the run must stop.
        """
        if self.recorder is not None:
            await self.recorder.seal(result)
        if self.player is not None:
            self.player.forget(result.attempt_id)

    async def seal_judged(self, result: CaseResult) -> None:
        """As :meth:`seal`, where an answer was judged and no agent ran."""
        if self.recorder is not None:
            await self.recorder.seal_judge(result)
        if self.player is not None:
            self.player.forget(result.attempt_id)

    def judge(self, result: CaseResult) -> Again:
        """Whether another attempt could end otherwise: answers of a cassette are always the same.

        Only where what it does not hold may be recorded, the next attempt is.
        """
        judge_failed = (
            result.outcome is Outcome.EVALUATOR_ERROR and result.attempt_id in self._judged
        )
        if result.outcome is not Outcome.PROVIDER_ERROR and not judge_failed:
            return "usual"
        if self.sealed:
            return "never"
        return "uncounted" if result.attempt_id in self._unmatched else "usual"

    @property
    def missed(self) -> bool:
        """A replay met calls that its cassette cannot answer, and will not when it is resumed."""
        return self.sealed and bool(self._unmatched)

    def record(self, earlier: CassetteRecord | None) -> CassetteRecord | None:
        """What the manifest says when the session ends."""
        if earlier is None or self.recorder is None:
            return earlier
        news = {"recorded": self.recorder.digest(), "not_recorded": self.recorder.shelf.missing}
        return earlier.model_copy(update=news)


@contextmanager
def open_recording(
    run_dir: Path,
    record: CassetteRecord | None,
    keys: Iterable[CaseKey],
    proxy: ProxyConfig,
    listener: Listener,
) -> Iterator[Recording]:
    """Open the cassette that the run's manifest names, and the run's own file for bodies.

    Neither where nobody asks for it.

    Raises:
        CassetteError: the cassette is not there any more, is another one, or is damaged.
        JournalError: it cannot be written.
    """
    with ExitStack() as stack:
        recording = Recording(sealed=record is not None and record.mode == "replay")
        ignore = tuple(parse_pointer(text) for text in proxy.replay.ignore)
        if record is not None:
            directory, header = Path(record.directory), _checked(record)
            recording.seed = header.id.encode()
            if record.mode != "record":
                rehash = proxy.replay.ignore != header.ignore
                _play(recording, directory, ignore, rehash=rehash)
            if record.mode != "replay":
                stack.enter_context(open_cassette(directory))
                recorded = tuple(parse_pointer(text) for text in header.ignore)
                _record(recording, directory, keys, recorded, stack, listener)
        if proxy.capture is not None:
            recording.capture = stack.enter_context(Capture(run_dir, listener))
        recording.tapes = _tapes(recording, ignore, proxy.replay, listener)
        recording.judge_tapes = _judge_tapes(recording, ignore, proxy.replay, listener)
        yield recording


def _checked(record: CassetteRecord) -> Header:
    """The header of the run's cassette, if that is what it was."""
    directory = Path(record.directory)
    header = read_header(directory)
    if header.id != record.id:
        raise CassetteError(f"{directory} is another cassette than the one this run began with")
    if record.mode == "replay" and index_digest(directory) != record.replayed:
        raise CassetteError(
            f"{directory} is not what it was when this run began: something was recorded into it. "
            "Begin a new run."
        )
    return header


def _play(
    recording: Recording, directory: Path, ignore: tuple[Pointer, ...], *, rehash: bool
) -> None:
    shelf, _ = Shelf.read(directory)
    recording.player = Player(
        directory, shelf, ignore, rehash=rehash, or_record=not recording.sealed
    )


def _record(
    recording: Recording,
    directory: Path,
    keys: Iterable[CaseKey],
    ignore: tuple[Pointer, ...],
    stack: ExitStack,
    listener: Listener,
) -> None:
    player = recording.player
    recording.recorder = stack.enter_context(
        Recorder(
            directory,
            {key.digest: key for key in keys},
            ignore,
            recorded=player.is_live if player is not None else lambda _: True,
            on_left_out=_telling(listener),
        )
    )


def _tapes(
    recording: Recording, ignore: tuple[Pointer, ...], config: ReplayConfig, listener: Listener
) -> Tapes:
    recorder, capture, player = recording.recorder, recording.capture, recording.player
    replay = Replay(player.find, ignore, config.speed) if player is not None else None
    if recorder is None and capture is None:
        return Tapes(replay=replay)
    keepers: list[Keep] = []
    told: list[LeftOut] = []
    if recorder is not None:
        keepers.append(recorder.keep)
        told.append(_telling(listener))
    if capture is not None:
        keepers.append(capture.keep)
        told.append(capture.leave_out)
    keeping = CUT if recorder is None else Keeping()
    return Tapes(keeping, _each(keepers), _each(told), replay)


def _judge_tapes(
    recording: Recording, ignore: tuple[Pointer, ...], config: ReplayConfig, listener: Listener
) -> Tapes:
    """As an agent's, for the judges' half of attempts. Their bodies are in no file of the run."""
    recorder, player = recording.recorder, recording.player
    replay = None
    if player is not None:
        find = player.find
        replay = Replay(
            lambda asked: find(replace(asked, attempt_id=of_judge(asked.attempt_id))),
            ignore,
            config.speed,
        )
    if recorder is None:
        return Tapes(replay=replay)
    keep = recorder.keep
    return Tapes(
        Keeping(),
        lambda it: keep(replace(it, attempt_id=of_judge(it.attempt_id))),
        _telling(listener),
        replay,
    )


def _each(takers: Sequence[Callable[P, None]]) -> Callable[P, None]:
    """Hands what it gets to each of them."""

    def take(*args: P.args, **kwargs: P.kwargs) -> None:
        for taker in takers:
            taker(*args, **kwargs)

    return take


def _telling(listener: Listener) -> Callable[[str, str], None]:
    """Says why calls are not recorded, and after some times no more: their number is in the end."""
    told = 0

    def left_out(_: str, why: str) -> None:
        nonlocal told
        told += 1
        if told <= _REASONS_TOLD:
            last = "; further ones are only counted" if told == _REASONS_TOLD else ""
            listener(Notice("warning", f"a call is not recorded: {why}{last}"))

    return left_out
