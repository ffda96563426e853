"""What a command says, for people to see while it runs: line by line, escaped, with an end."""

from collections.abc import Callable

from pacabench.datasets.base import printable

MOST_LINES = 500
"""Shown; of a chattier command the last ones are in the error, if there is one."""
_LINE_BYTES = 2000
_TAIL_BYTES = 8 * 1024


class Narration:
    """Takes output as it comes, and tells its lines.

    Args:
        tell: gets each line.
        most_lines: after so many nothing is told until the end.
    """

    def __init__(self, tell: Callable[[str], None], *, most_lines: int = MOST_LINES) -> None:
        self._tell = tell
        self._left = most_lines
        self._untold = 0
        self._line = bytearray()
        self._tail = bytearray()

    def feed(self, data: bytes) -> None:
        """Take ``data``, which may hold any part of any number of lines."""
        self._tail += data[-_TAIL_BYTES:]
        del self._tail[:-_TAIL_BYTES]
        *whole, rest = data.split(b"\n")
        for piece in whole:
            self._add(piece)
            self._say()
        self._add(rest)

    def finish(self) -> None:
        """Tell a last line without its end, and how much was not told."""
        if self._line:
            self._say()
        if self._untold:
            self._tell(f"prepare wrote {self._untold} more lines, which are not shown")

    @property
    def tail(self) -> str:
        """The end of it all, a line each, indented."""
        lines = self._tail.decode(errors="replace").strip().splitlines()
        return "".join(f"\n    {printable(line)}" for line in lines)

    def _add(self, piece: bytes) -> None:
        self._line += piece[: _LINE_BYTES - len(self._line)]

    def _say(self) -> None:
        text = printable(self._line.decode(errors="replace").rstrip())
        self._line.clear()
        if not text:
            return
        if self._left > 0:
            self._left -= 1
            self._tell(f"prepare: {text}")
        else:
            self._untold += 1
