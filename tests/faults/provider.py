"""The provider of a soak: bills each call so that its tokens alone say which one it was."""

import ctypes
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pacabench.testing import FakeProvider, Reply, Request, Tokens, provider_in_thread

_CLONE_NEWNET = 0x40000000
_ASKED = re.compile(r"question (\d+), call (\d)")
_FIRST = 1000
_GOLDEN = 0.618
"""Multiples of it lie evenly between two whole numbers."""
WRONG_EACH = 4
"""One question in so many gets a wrong answer."""


@dataclass(frozen=True, slots=True)
class Served:
    """One call in the provider's books."""

    case_id: str
    tokens: Tokens
    sent_whole: bool
    """Every byte of the reply was written."""


def is_right(number: int) -> bool:
    """Whether the provider answers question ``number`` rightly."""
    return number % WRONG_EACH != 0


class Books:
    """What was asked and billed; ``on_call`` is told of each call before it is answered.

    ``slow_s``: the longest that an answer takes to begin. Each takes another time, so that whatever
    is killed, calls are under way in every state.
    """

    def __init__(self, slow_s: float = 0.0) -> None:
        self._slow_s = slow_s
        self._lock = threading.Lock()
        self._serial = 0
        self.on_call: Callable[[], None] = lambda: None
        self.provider = FakeProvider(self._answer)

    def _answer(self, request: Request) -> Reply:
        asked = _ASKED.search(request["messages"][-1]["content"])
        assert asked is not None
        with self._lock:
            self._serial += 1
            serial = self._serial
        self.on_call()
        number = int(asked[1])
        said = f"answer {number}" if is_right(number) else "I do not know"
        tokens = Tokens(
            prompt=_FIRST + serial,
            completion=20 + serial % 17,
            cached=serial % 90,
            reasoning=serial % 7,
        )
        delay_s = 0.05 + self._slow_s * (serial * _GOLDEN % 1)
        return Reply(text=said, tokens=tokens, delay_s=delay_s, pause_s=0.02 + self._slow_s / 20)

    def under_way(self) -> int:
        """How many calls wait for their answer now, or for the rest of it."""
        return sum(
            entry.sent_digest is None and not entry.client_gone and entry.status in {None, 200}
            for entry in list(self.provider.books)
        )

    def served(self) -> dict[int, Served]:
        """All that was billed, by serial number, once nothing is under way any more.

        A call goes on at the provider after the death of whoever made it.
        """
        deadline = time.monotonic() + 10
        entries = self.provider.books
        while any(entry.status is None for entry in entries):
            if time.monotonic() > deadline:
                raise AssertionError("the provider is not done with its calls")
            time.sleep(0.05)
        found = {}
        for entry in entries:
            asked = _ASKED.search(entry.body.decode())
            if entry.tokens is not None and asked is not None:
                serial = entry.tokens.prompt - _FIRST
                whole = entry.sent_digest is not None
                found[serial] = Served(f"c{asked[1]}", entry.tokens, whole)
        return found


@contextmanager
def open_books(namespace_of: int | None = None, *, slow_s: float = 0.0) -> Iterator[Books]:
    """Books whose provider listens on loopback: this one's, or that of process ``namespace_of``."""
    books = Books(slow_s)
    serving = provider_in_thread(books._answer)
    with _network_of(namespace_of):
        provider = serving.__enter__()  # a thread starts in the namespace of who started it
    books.provider = provider
    try:
        yield books
    finally:
        serving.__exit__(None, None, None)


@contextmanager
def _network_of(pid: int | None) -> Iterator[None]:
    """This thread in the network namespace of process ``pid``."""
    if pid is None:
        yield
        return
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _set_network(Path(f"/proc/{pid}/ns/net"))
        yield
    finally:
        _set_network(Path(f"/proc/self/fd/{own}"))
        os.close(own)


def _set_network(path: Path) -> None:
    """``os.setns``, which Python has since 3.12."""
    fd = os.open(path, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(fd, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(fd)
