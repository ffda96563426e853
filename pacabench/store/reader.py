"""Reading a journal file: every whole line, and a judgement of what is not whole."""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import BinaryIO, Generic, TypeVar

import msgspec

from pacabench.call_facts import MeteredFacts
from pacabench.egress import CaseEgress
from pacabench.errors import JournalError
from pacabench.model import CaseResult, MeteredCall, Verdict
from pacabench.store.files import file_error, open_regular
from pacabench.store.lines import (
    VERSION,
    durable_of,
    is_current,
    is_whole,
    version_of,
    whole_within,
)

RESULTS = "results.jsonl"
CALLS = "calls.jsonl"
EGRESS = "egress.jsonl"
JUDGE = "judge.jsonl"
"""LLM calls that judged answers, in the form of ``calls.jsonl``."""
_LONGEST_LINE = 1 << 30
"""A longer one is damage: an answer has at most 32 MB, and JSON escapes make six of one byte."""
_BUFFER_BYTES = 1 << 18

T = TypeVar("T")


class _ResultLine(msgspec.Struct, frozen=True):
    result: CaseResult


class _VerdictLine(msgspec.Struct, frozen=True):
    result: Verdict


class _CallLine(msgspec.Struct, frozen=True):
    call: MeteredCall


class _FactsLine(msgspec.Struct, frozen=True):
    call: MeteredFacts


class _EgressLine(msgspec.Struct, frozen=True):
    egress: CaseEgress


class JournalReader(Generic[T]):
    """Iterates over ``(offset, record)`` of one file, as far as it was written when opened.

    Works beside a harness that writes. Lines at the end that are not whole never counted: the
    iteration stops before them, and ``end`` tells where. After damage in the middle come lines that
    are whole and say that it was on disk when they were written: that is an error.
    """

    def __init__(self, path: Path, decode: Callable[[bytes], T], *, synced: int = 0) -> None:
        self.path = path
        self.end = 0
        """Bytes from the start that are whole lines; final once the iteration is over."""
        self.size = 0
        """Bytes that the file had when the iteration began."""
        self.whole_lines = 0
        """How many of them there are; final as ``end``."""
        self._decode = decode
        self.synced = synced
        """Bytes that were on disk at the end of an earlier session."""

    @property
    def missing(self) -> int:
        """Bytes that had counted once and are no whole line any more; final once it is read."""
        return max(0, self.synced - self.end)

    def __iter__(self) -> Iterator[tuple[int, T]]:
        """Every whole line's offset and record.

        Raises:
            JournalError: damage in the middle, a line of a newer version, or an unreadable file.
        """
        decode = self._decode
        with os.fdopen(open_regular(self.path, os.O_RDONLY), "rb", _BUFFER_BYTES) as file:
            self.size = os.fstat(file.fileno()).st_size
            self.end = self.whole_lines = 0
            for line in _lines(self.path, file, self.size):
                if not is_current(line):
                    if not is_whole(line):
                        self._judge(line, _lines(self.path, file, self.size))
                        return
                    self._check_version(line)
                try:
                    record = decode(line)
                except (msgspec.DecodeError, RecursionError) as error:
                    raise self._unknown(error, f" line {self.whole_lines + 1}") from error
                yield self.end, record
                self.end += len(line)
                self.whole_lines += 1

    def at(self, offsets: Iterable[int]) -> Iterator[T]:
        """The records of the lines that begin at ``offsets``, in that order.

        Raises:
            JournalError: no whole line begins there (any more).
        """
        with os.fdopen(open_regular(self.path, os.O_RDONLY), "rb") as file:
            for offset in offsets:
                file.seek(offset)
                line = file.readline(_LONGEST_LINE)
                if not is_whole(line):
                    raise JournalError(f"{self.path} is damaged at byte {offset}.")
                self._check_version(line)
                try:
                    yield self._decode(line)
                except (msgspec.DecodeError, RecursionError) as error:
                    raise self._unknown(error, "") from error

    def _judge(self, bad: bytes, rest: Iterator[bytes]) -> None:
        """Raise if the line ``bad`` at ``self.end``, which is not whole, had counted once."""
        later = itertools.chain(whole_within(bad), rest)
        known = max((durable_of(line) for line in later if is_whole(line)), default=None)
        if known is not None and max(known, self.synced) > self.end:
            raise JournalError(
                f"{self.path} line {self.whole_lines + 1} (byte {self.end}) is damaged: its "
                "checksum does not match, and whole lines follow it. Nothing was changed. Restore "
                "the file from a backup, or delete that line, which loses what it recorded: a "
                "result's case runs again on `pacabench resume`, a call's tokens are uncounted."
            )

    def _check_version(self, line: bytes) -> None:
        if version_of(line) > VERSION:
            raise JournalError(f"{self.path} was written by a newer PacaBench. Update.")

    def _unknown(self, error: Exception, where: str) -> JournalError:
        return JournalError(f"{self.path}{where} is no record that this PacaBench knows ({error}).")


def read_results(run_dir: Path, *, synced: int = 0) -> JournalReader[CaseResult]:
    """The results of the run in ``run_dir``; ``synced`` bytes of the file had once been on disk."""
    decode = _decoder(_ResultLine).decode
    return JournalReader(run_dir / RESULTS, lambda line: decode(line).result, synced=synced)


def read_verdicts(run_dir: Path, *, synced: int = 0) -> JournalReader[Verdict]:
    """As :func:`read_results`, without what was said: twice as fast, and much smaller."""
    decode = _decoder(_VerdictLine).decode
    return JournalReader(run_dir / RESULTS, lambda line: decode(line).result, synced=synced)


def read_calls(run_dir: Path, *, synced: int = 0) -> JournalReader[MeteredCall]:
    """The LLM calls of the run in ``run_dir``; ``synced`` as in :func:`read_results`."""
    decode = _decoder(_CallLine).decode
    return JournalReader(run_dir / CALLS, lambda line: decode(line).call, synced=synced)


def read_call_facts(run_dir: Path, *, synced: int = 0) -> JournalReader[MeteredFacts]:
    """As :func:`read_calls`, of each what counts: twice as fast."""
    decode = _decoder(_FactsLine).decode
    return JournalReader(run_dir / CALLS, lambda line: decode(line).call, synced=synced)


def read_judge_calls(run_dir: Path, *, synced: int = 0) -> JournalReader[MeteredCall]:
    """The LLM calls of judges in ``run_dir``; ``synced`` as in :func:`read_results`."""
    decode = _decoder(_CallLine).decode
    return JournalReader(run_dir / JUDGE, lambda line: decode(line).call, synced=synced)


def read_egress(run_dir: Path, *, synced: int = 0) -> JournalReader[CaseEgress]:
    """The ways out to the web of the run in ``run_dir``; ``synced`` as in :func:`read_results`."""
    decode = _decoder(_EgressLine).decode
    return JournalReader(run_dir / EGRESS, lambda line: decode(line).egress, synced=synced)


def check_lines(path: Path, *, synced: int = 0) -> JournalReader[None]:
    """Any journal file, of which only checksums are looked at: several times as fast."""
    return JournalReader(path, lambda _: None, synced=synced)


@cache
def _decoder(line: type[T]) -> msgspec.json.Decoder[T]:
    return msgspec.json.Decoder(line)


def _lines(path: Path, file: BinaryIO, size: int) -> Iterator[bytes]:
    """Lines with their newlines up to byte ``size``; what was appended since is left out."""
    left = size - file.tell()
    readline = file.readline
    try:
        while left > 0 and (line := readline(min(_LONGEST_LINE, left))):
            left -= len(line)
            yield line
    except OSError as error:
        raise file_error("read", path, error) from error
