"""What builds and tools print, made fit to be shown: one bounded line, no escapes, no keys."""

import asyncio
import contextlib
import os
import re
import time
from collections import deque
from collections.abc import Iterable

from pacabench.events import Listener, Preparing

LINE_CHARS = 200
"""Longest line that is shown."""
TAIL_LINES = 25
"""How much of a failed step's output an error quotes."""
_EVENTS_MOST = 500
"""Of one build; the rest is only kept for the error."""
_EVENTS_GAP_S = 0.1

_ESCAPE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC and the other strings: titles, links
    r"|\x1b[ -/]*[0-~]"  # two- and three-character escapes
)
_SECRETS = (
    (re.compile(r"(?<=://)[^\s/@]+(?=@)"), "***"),
    (re.compile(r"\b(?:sk|rk|pk|gh[pousr]|xox[abp]|hf|glpat)[-_][A-Za-z0-9_-]{8,}"), "***"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"), r"\1 ***"),
    (
        re.compile(r"(?i)((?:api[_-]?key|token|secret|password)(?:=(?!=)|:\s)\s*)[^\s,;]{4,}"),
        r"\1***",
    ),
)
_SECRET_NAME = re.compile(r"(?i)(key|token|secret|password|credential)s?$")
_SECRET_SHORTEST = 8


def clean_line(text: str, *, limit: int = LINE_CHARS) -> str:
    """The last state of one line of terminal output, printable, masked, at most ``limit`` long."""
    text = text[: 64 * limit].rstrip("\r\n").rpartition("\r")[2]
    text = _ESCAPE.sub("", text).expandtabs(4)
    text = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    text = mask(text).rstrip()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def mask(text: str) -> str:
    """``text`` with ``***`` in place of what looks like a key, or is one of this environment's."""
    for name, value in os.environ.items():
        if len(value) >= _SECRET_SHORTEST and _SECRET_NAME.search(name) and value in text:
            text = text.replace(value, "***")
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def quote(lines: Iterable[str]) -> str:
    """Lines of output as an indented block of an error message."""
    return "\n".join(f"    {line}" for line in lines)


class Narrator:
    """Tells the listener what goes on, from any thread, and keeps the tail for an error.

    Make it in the event loop's thread; the listener is only called there.
    """

    def __init__(self, listener: Listener, subject: str) -> None:
        self._listener = listener
        self._subject = subject
        self._loop = asyncio.get_running_loop()
        self._told = 0
        self._told_at = 0.0
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)

    @property
    def tail(self) -> list[str]:
        """The last lines since :meth:`step`, cleaned."""
        return list(self._tail)

    def step(self, title: str) -> None:
        """A new part begins: told if it has a title, and what came before leaves the tail."""
        self._tail.clear()
        if title:
            self._tell(clean_line(title))

    def output(self, text: str) -> None:
        """Output of the current part: kept, and told as often as a reader can follow."""
        for raw in text.split("\n"):
            line = clean_line(raw)
            if not line:
                continue
            self._tail.append(line)
            if time.monotonic() - self._told_at >= _EVENTS_GAP_S:
                self._tell(line)

    def progress(self, text: str) -> None:
        """A state that replaces the one before: told now and then, and not kept."""
        if time.monotonic() - self._told_at >= _EVENTS_GAP_S:
            self._tell(clean_line(text))

    def _tell(self, line: str) -> None:
        self._told += 1
        if self._told > _EVENTS_MOST:
            return
        self._told_at = time.monotonic()
        event = Preparing(f"{self._subject}: {line}")
        with contextlib.suppress(RuntimeError):  # the loop is gone: nobody listens any more
            self._loop.call_soon_threadsafe(self._listener, event)
