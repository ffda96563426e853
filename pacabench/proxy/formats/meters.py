"""Meters that all formats share: they cut a body into JSON objects, which a reader knows.

A stream is looked at in batches and not event by event: nobody asks what a reply used before it is
over, and most of its events say nothing but a few words of text. How it is done is in
``EventMeter``; that it brings the same as reading every event is held by property tests.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Protocol

from pacabench.proxy.excerpt import Excerpt
from pacabench.proxy.formats.faults import gave_up
from pacabench.proxy.formats.parsing import json_object, json_objects
from pacabench.proxy.sse import SseSplitter, event_data
from pacabench.proxy.wire import Reading

MAX_DOCUMENT_BYTES = 64 * 1024**2
"""Of a reply that is one JSON document. A longer one goes through and is not metered."""
LOOK_BYTES = 32 * 1024
"""Of a stream: so many are gathered before they are looked at."""
UNREAD_BYTES = 256 * 1024
"""Of a stream: so many are kept whose text was not read yet."""
_DONE = b"[DONE]"
_TEXTS = re.compile(
    rb'"(?:content|text|delta|arguments|partial_json|thinking|reasoning_content|reasoning|refusal'
    rb'|signature|obfuscation)": ?"[^"\\\n]*(?:\\.[^"\\\n]*)*"|"sequence_number": ?\d+'
)
"""Members of which a reader takes the text and nothing else, and those that it never looks at."""
_MOST_QUIET = 64


class Reader(Protocol):
    """What one reply says, object by object. Never raises."""

    def take(self, message: dict[str, Any]) -> None:
        """The next event's data, or the whole document, but for its text.

        What is in ``state`` afterwards hangs on what was there before and on ``message``, the
        members that ``_TEXTS`` fits aside.
        """
        ...

    def say(self, message: dict[str, Any], excerpt: Excerpt) -> None:
        """The same object's text."""
        ...

    def end(self) -> None:
        """The reply is known to be whole."""
        ...

    def state(self) -> object:
        """All that ``take`` may change, as a value that does not change with it."""
        ...

    def reading(self) -> Reading:
        """What the objects so far said."""
        ...


class DocumentMeter:
    """Reads a reply that is one JSON document: an object, or an array of them sent as a stream."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._parts: list[bytes] = []
        self._left = MAX_DOCUMENT_BYTES
        self._was_read = False
        self._is_object = False
        self._gave_up = False

    def feed(self, chunk: bytes) -> None:
        """Keep the bytes, up to a limit."""
        self._left -= len(chunk)
        if self._left >= 0:
            self._parts.append(chunk)
        else:
            self._parts.clear()

    def read(self) -> Reading:
        """What the document said. Of an array that broke off, what its whole objects said."""
        if not self._was_read:
            self._take()
        found = self._reader.reading()
        if self._is_object and found.broken != self._gave_up:
            # One object comes whole: not every error in it is what broke the reply off.
            return replace(found, broken=self._gave_up)
        return found

    def said(self) -> Excerpt:
        """See :class:`~pacabench.proxy.wire.Meter`."""
        excerpt = Excerpt()
        data = b"".join(self._parts)
        document = json_object(data)
        for message in json_objects(data) if document is None else (document,):
            self._reader.say(message, excerpt)
        return excerpt

    def _take(self) -> None:
        data = b"".join(self._parts)
        self._parts = [data]
        self._was_read = True
        document = json_object(data)
        if document is not None:
            self._is_object = True
            self._gave_up = gave_up(document)
            self._reader.take(document)
            self._reader.end()
            return
        for message in json_objects(data):
            self._reader.take(message)


class EventMeter:
    """Reads a stream of server-sent events with JSON in them.

    An event is passed over where one before it, alike but for its words (``_TEXTS``), told the
    reader nothing new, and nothing new was told since. The text is read where it is asked for, or
    where more of it is there than is kept.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._quiet: set[bytes] = set()
        """Events that told the reader nothing, without their words."""
        self._unread: list[bytes] = []
        """Whole events whose text was not read."""
        self._unread_bytes = 0
        self._excerpt = Excerpt()
        self._splitter: SseSplitter | None = None
        """For streams that are written in another way than nearly all, or have long events."""

    def feed(self, chunk: bytes) -> None:
        """Keep ``chunk``, and look at what is there when it is enough."""
        self._held.append(chunk)
        self._held_bytes += len(chunk)
        if self._held_bytes > LOOK_BYTES:
            self._look()

    def read(self) -> Reading:
        """What the events so far said."""
        self._look()
        rest = b"".join(self._held)
        self._held.clear()
        self._held_bytes = 0
        if self._splitter is not None:
            self._take_slowly(event.data for event in self._splitter.finish())
        elif rest:
            self._take_all(rest)
        return self._reader.reading()

    def said(self) -> Excerpt:
        """See :class:`~pacabench.proxy.wire.Meter`."""
        self._look()
        self._read_text()
        return self._excerpt

    def _look(self) -> None:
        """Take all events that are whole."""
        data = b"".join(self._held)
        self._held.clear()
        self._held_bytes = 0
        if self._splitter is None:
            end = data.rfind(b"\n\n") + 2
            if b"\r" not in data and (end > 1 or len(data) <= LOOK_BYTES):
                if end > 1:
                    self._take_all(data[:end])
                    data = data[end:]
                self._held.append(data)
                self._held_bytes = len(data)
                return
            self._read_text()
            self._splitter = SseSplitter()
        self._take_slowly(event.data for event in self._splitter.feed(data))

    def _take_all(self, events: bytes) -> None:
        """Take ``events``, whose lines end with LF, and keep them for their text."""
        # No text that is cut out holds a line's end: so both are cut in the same places.
        bare = _TEXTS.sub(b"", events).split(b"\n\n")
        for raw, quiet in zip(events.split(b"\n\n"), bare, strict=True):
            if quiet not in self._quiet:
                self._take(raw, quiet)
        self._unread.append(events)
        self._unread_bytes += len(events)
        if self._unread_bytes > UNREAD_BYTES:
            self._read_text()

    def _take(self, raw: bytes, quiet: bytes) -> None:
        before = self._reader.state()
        data = event_data(raw)
        message = None if data is None else json_object(data)
        if data == _DONE:
            self._reader.end()
        elif message is not None:
            self._reader.take(message)
        if self._reader.state() != before:
            self._quiet.clear()
        elif data is not None and message is None:
            pass  # it may be no JSON for its words alone, as with half a character
        elif len(self._quiet) < _MOST_QUIET and b'"error"' not in quiet:
            # The text of an error may be any of its members.
            self._quiet.add(quiet)

    def _take_slowly(self, events: Iterable[bytes | None]) -> None:
        """Take the data of events one by one, and their text at once."""
        for data in events:
            if data == _DONE:
                self._reader.end()
            elif data is not None and (message := json_object(data)) is not None:
                self._reader.take(message)
                self._reader.say(message, self._excerpt)

    def _read_text(self) -> None:
        unread, self._unread, self._unread_bytes = self._unread, [], 0
        for message in _messages(unread):
            self._reader.say(message, self._excerpt)


def _messages(batches: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for events in batches:
        for raw in events.split(b"\n\n"):
            data = event_data(raw)
            if data is not None and (message := json_object(data)) is not None:
                yield message


class NoFilter:
    """For formats whose streams carry usage by themselves."""

    def feed(self, chunk: bytes) -> bytes:
        """All of it."""
        return chunk

    def finish(self) -> bytes:
        """Nothing is kept back."""
        return b""
