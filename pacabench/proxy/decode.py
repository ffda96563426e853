"""Takes content codings off replies: what is coded can be neither metered nor looked through.

The proxy asks for no coding at all; this is for those who insist. A few bytes can stand for
millions: what comes out does so in pieces of a bounded size, and in all it is bounded as well.
"""

import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

MAX_DECODED_BYTES = 256 * 1024**2
"""Of one reply that is coded."""
_BEGINNING_BYTES = 2 * 1024**2
_PIECE_BYTES = 1024**2
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_FLUSHED = b"\0\0\xff\xff"
"""What is behind the length of an empty block, which is how deflate flushes (RFC 1951, 3.2.4)."""
_MOST_CODINGS = 3
_ZSTD_WINDOW_LOG = 23
"""8 MiB, which is what HTTP allows a sender (RFC 9659)."""


class BadCodingError(Exception):
    """It is not what the header says."""


class Stage(Protocol):
    """Undoes one coding."""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Plain bytes in pieces of a bounded size.

        Raises:
            BadCodingError: ``chunk`` does not go on where the last one ended.
        """
        ...

    @property
    def is_whole(self) -> bool:
        """What came may be all of it."""
        ...


class BodyDecoder:
    """Undoes gzip, deflate, br and zstd, and what was coded in several of them.

    What is coded badly, or stands for too much, yields nothing further.
    """

    def __init__(self, encoding: str) -> None:
        names = [name for part in encoding.split(",") if (name := part.strip().lower())]
        names = [name for name in names if name != "identity"]
        self.identity = not names
        self.known = len(names) <= _MOST_CODINGS and all(name in _STAGES for name in names)
        """False for codings of which nobody here knows how they are undone."""
        self.problem: str | None = None
        """Why nothing more comes out."""
        # The last one that was put on is the first to come off.
        self._stages = [_STAGES[name]() for name in reversed(names)] if self.known else []
        self._left = MAX_DECODED_BYTES

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The plain bytes in pieces of a bounded size."""
        if self.identity:
            yield chunk
            return
        try:
            for piece in self._through(chunk, 0) if self._stages else ():
                self._left -= len(piece)
                if self._left < 0:
                    self._give_up(f"stands for more than {MAX_DECODED_BYTES // 1024**2} MiB")
                    return
                yield piece
        except BadCodingError:
            self._give_up("is not what it says")

    def finish(self) -> None:
        """Nothing more comes in: a coding that has not come to its end is a problem."""
        if not all(stage.is_whole for stage in self._stages):
            self._give_up("breaks off inside its coding")

    def _give_up(self, problem: str) -> None:
        self.problem = problem
        self._stages = []

    def _through(self, chunk: bytes, stage: int) -> Iterator[bytes]:
        if stage == len(self._stages):
            yield chunk
            return
        for piece in self._stages[stage].feed(chunk):
            yield from self._through(piece, stage + 1)


def plain(data: bytes, encoding: str) -> bytes:
    """The beginning of ``data`` without its coding, as far as that can be taken off."""
    parts, left = [], _BEGINNING_BYTES
    for piece in BodyDecoder(encoding).feed(data):
        parts.append(piece)
        left -= len(piece)
        if left <= 0:
            break
    return b"".join(parts)


class _Inflate:
    """gzip and deflate."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._end = b""
        """The last bytes that came."""

    @property
    def is_whole(self) -> bool:
        """Some servers flush what they say and never end it."""
        return not self._end or self._inflate.eof or self._end.endswith(_FLUSHED)

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        self._end = (self._end + chunk[-len(_FLUSHED) :])[-len(_FLUSHED) :]
        while chunk:
            if self._inflate.eof:
                # Some servers end the coding at each flush and begin it anew.
                self._inflate = zlib.decompressobj(_GZIP_OR_ZLIB)
            try:
                piece = self._inflate.decompress(chunk, _PIECE_BYTES)
            except zlib.error as error:
                raise BadCodingError from error
            if piece:
                yield piece
            chunk = self._inflate.unconsumed_tail or self._inflate.unused_data


class _Brotli:
    """br."""

    def __init__(self) -> None:
        import brotli  # noqa: PLC0415 - memory that only a run with such a provider pays for

        self._error: type[Exception] = brotli.error
        self._decoder = brotli.Decompressor()
        self._has_begun = False

    @property
    def is_whole(self) -> bool:
        return bool(not self._has_begun or self._decoder.is_finished())

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        rest = chunk
        self._has_begun = True
        while True:
            try:
                piece = self._decoder.process(rest, output_buffer_limit=_PIECE_BYTES)
            except self._error as error:
                raise BadCodingError from error
            rest = b""
            if not piece:
                return
            yield piece


class _Zstd:
    """zstd, of one frame or several."""

    def __init__(self) -> None:
        if sys.version_info >= (3, 14):
            from compression import zstd  # noqa: PLC0415 - as above
        else:
            from backports import zstd  # noqa: PLC0415
        self._zstd: Any = zstd
        self._decoder = self._new()
        self._has_begun = False

    @property
    def is_whole(self) -> bool:
        return bool(not self._has_begun or self._decoder.eof)

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        rest = chunk
        self._has_begun = True
        while rest or not self._decoder.needs_input:
            if self._decoder.eof:
                self._decoder = self._new()
            try:
                piece = self._decoder.decompress(rest, _PIECE_BYTES)
            except self._zstd.ZstdError as error:
                raise BadCodingError from error
            if piece:
                yield piece
            rest = self._decoder.unused_data if self._decoder.eof else b""
            if self._decoder.eof and not rest:
                return

    def _new(self) -> Any:
        most = self._zstd.DecompressionParameter.window_log_max
        return self._zstd.ZstdDecompressor(options={most: _ZSTD_WINDOW_LOG})


_STAGES: Mapping[str, Callable[[], Stage]] = {
    "gzip": _Inflate,
    "x-gzip": _Inflate,
    "deflate": _Inflate,
    "br": _Brotli,
    "zstd": _Zstd,
}
