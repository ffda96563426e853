"""The engine's multiplexed attach stream, taken apart.

Wire format (Engine API, "Attach to a container"): frames of an 8-byte header ``{stream, 0, 0, 0,
length as big-endian uint32}`` and ``length`` bytes; stream 1 is stdout, 2 stderr, 3 an error of the
engine's own.
"""

from collections.abc import Iterator
from struct import Struct

STDOUT = 1
STDERR = 2
ENGINE_ERROR = 3
_HEADER = Struct(">BxxxI")


class FrameReader:
    """Splits the stream into (stream, payload) pieces, wherever its chunks happen to be cut."""

    def __init__(self) -> None:
        self._header = bytearray()
        self._stream = 0
        self._missing = 0

    @property
    def inside_frame(self) -> bool:
        """Whether the last chunk ended in the middle of a frame: an end there is a break."""
        return bool(self._header) or self._missing > 0

    def feed(self, data: bytes) -> Iterator[tuple[int, memoryview]]:
        """Pieces of payload; a frame may come in several.

        Raises:
            ValueError: this is no such stream.
        """
        view = memoryview(data)
        while view:
            if self._missing:
                piece = view[: self._missing]
                self._missing -= len(piece)
                view = view[len(piece) :]
                yield self._stream, piece
                continue
            wanted = _HEADER.size - len(self._header)
            self._header += view[:wanted]
            view = view[wanted:]
            if len(self._header) == _HEADER.size:
                self._stream, self._missing = _HEADER.unpack(self._header)
                if self._stream > ENGINE_ERROR or any(self._header[1:4]):
                    raise ValueError(f"not a frame's header: {bytes(self._header)!r}")
                self._header.clear()
