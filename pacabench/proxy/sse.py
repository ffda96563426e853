"""Server-sent events, read from a copy of the stream while the stream itself goes through.

The splitter keeps every byte: the ``raw`` parts of the events, joined, are exactly what was fed.
That lets a filter leave out one event and pass the others as they came.

Line ends are CR LF, LF or CR, in any mix, and may be cut anywhere.
Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

import re
from dataclasses import dataclass

MAX_EVENT_BYTES = 16 * 1024**2
"""Of one event. ``response.completed`` repeats the whole reply, images included."""

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class SseEvent:
    """A piece of the stream that ends with an event, or a part of one that is too long."""

    raw: bytes
    data: bytes | None
    """The ``data`` lines joined by newlines; None for comments and for what was not parsed."""
    continues: bool = False
    """``raw`` is a rest of the event before it (the LF of a CR LF that was cut in two)."""


class SseSplitter:
    """Cuts a stream of bytes into events."""

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._held = bytearray()
        self._line_start = 0
        self._searched = 0
        self._after_cr = False
        self._oversized = False
        self.skipped = 0
        """Events that were too long to be parsed."""

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """The events that ``chunk`` completes."""
        events: list[SseEvent] = []
        if not chunk:
            return events
        if self._after_cr:
            self._after_cr = False
            if chunk.startswith(b"\n"):
                chunk = chunk[1:]
                if self._held or self._oversized:
                    self._held += b"\n"
                    self._line_start = self._searched = len(self._held)
                else:
                    events.append(SseEvent(b"\n", None, continues=True))
        self._held += chunk
        self._cut(events)
        if len(self._held) > self._max_event_bytes:
            self._give_up(events)
        return events

    def is_whole(self, chunk: bytes) -> bool:
        """Whether ``chunk`` is the next events and all of them, as nearly all chunks are."""
        return (
            not (self._held or self._after_cr or self._oversized)
            and chunk[-2:] == b"\n\n"
            and chunk[:1] != b"\n"
            and b"\r" not in chunk
        )

    def finish(self) -> list[SseEvent]:
        """What is left when the stream ends. An event without its blank line is still read."""
        raw = bytes(self._held)
        self._held.clear()
        if not raw:
            return []
        return [
            SseEvent(raw, None if self._oversized else event_data(raw), continues=self._oversized)
        ]

    def _cut(self, events: list[SseEvent]) -> None:
        held, start = self._held, 0
        for match in _LINE_END.finditer(held, self._searched):
            blank = match.start() == self._line_start
            self._line_start = match.end()
            if blank:
                raw = bytes(held[start : match.end()])
                start = match.end()
                data = None if self._oversized else event_data(raw)
                events.append(SseEvent(raw, data, continues=self._oversized))
                self._oversized = False
        self._after_cr = held.endswith(b"\r")
        if start:
            del held[:start]
            self._line_start -= start
        self._searched = len(held)

    def _give_up(self, events: list[SseEvent]) -> None:
        if not self._oversized:
            self.skipped += 1
        events.append(SseEvent(bytes(self._held), None, continues=self._oversized))
        # A line start before the released bytes must not look like a blank line later.
        self._line_start -= len(self._held)
        self._held.clear()
        self._searched = 0
        self._oversized = True


def event_data(raw: bytes) -> bytes | None:
    """The ``data`` lines of an event, joined by newlines; None where there are none."""
    lines = raw.removeprefix(_BOM).splitlines()
    found = [
        line[5:].removeprefix(b" ")
        for line in lines
        if line.startswith(b"data:") or line == b"data"
    ]
    return b"\n".join(found) if found else None
