"""Meters that all formats share: they cut a body into JSON objects, which a reader knows."""

from dataclasses import replace
from typing import Any, Protocol

from pacabench.proxy.excerpt import Excerpt
from pacabench.proxy.formats.parsing import json_object, json_objects
from pacabench.proxy.sse import SseEvent, SseSplitter
from pacabench.proxy.wire import Reading

MAX_DOCUMENT_BYTES = 64 * 1024**2
"""Of a reply that is one JSON document. A longer one goes through and is not metered."""
_DONE = b"[DONE]"


class Reader(Protocol):
    """What one reply says, object by object. Never raises."""

    excerpt: Excerpt

    def take(self, message: dict[str, Any]) -> None:
        """The next event's data, or the whole document."""
        ...

    def end(self) -> None:
        """The reply is known to be whole."""
        ...

    def reading(self) -> Reading:
        """What the objects so far said."""
        ...


class DocumentMeter:
    """Reads a reply that is one JSON document: an object, or an array of them sent as a stream."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._parts: list[bytes] | None = []
        self._size = 0
        self._is_object = False

    def feed(self, chunk: bytes) -> None:
        """Keep the bytes, up to a limit."""
        if self._parts is None:
            return
        self._size += len(chunk)
        self._parts.append(chunk)
        if self._size > MAX_DOCUMENT_BYTES:
            self._parts = None

    def read(self) -> Reading:
        """What the document said. Of an array that broke off, what its whole objects said."""
        self._parse()
        found = self._reader.reading()
        # One object comes whole: an error in it is the reply, and not what broke it off.
        return replace(found, broken=False) if self._is_object and found.broken else found

    def said(self) -> Excerpt:
        """See :class:`~pacabench.proxy.wire.Meter`."""
        self._parse()
        return self._reader.excerpt

    def _parse(self) -> None:
        data, self._parts = b"".join(self._parts or ()), None
        if not data:
            return
        document = json_object(data)
        if document is not None:
            self._is_object = True
            self._reader.take(document)
            self._reader.end()
            return
        for message in json_objects(data):
            self._reader.take(message)


class EventMeter:
    """Reads a stream of server-sent events with JSON in them."""

    def __init__(self, reader: Reader) -> None:
        self._splitter = SseSplitter()
        self._reader = reader

    def feed(self, chunk: bytes) -> None:
        """Read the events that ``chunk`` completes."""
        for event in self._splitter.feed(chunk):
            self._take(event)

    def read(self) -> Reading:
        """What the events so far said."""
        for event in self._splitter.finish():
            self._take(event)
        return self._reader.reading()

    def said(self) -> Excerpt:
        """See :class:`~pacabench.proxy.wire.Meter`."""
        return self._reader.excerpt

    def _take(self, event: SseEvent) -> None:
        if event.data is None:
            return
        if event.data == _DONE:
            self._reader.end()
        elif (message := json_object(event.data)) is not None:
            self._reader.take(message)


class NoFilter:
    """For formats whose streams carry usage by themselves."""

    def feed(self, chunk: bytes) -> bytes:
        """All of it."""
        return chunk

    def finish(self) -> bytes:
        """Nothing is kept back."""
        return b""
