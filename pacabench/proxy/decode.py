"""Takes the content coding off the copy that is metered. The agent gets the bytes as they came."""

import zlib
from collections.abc import Iterator

_PIECE_BYTES = 1024**2
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


class BodyDecoder:
    """Undoes gzip and deflate. The proxy asks for no coding at all; this is for those who insist.

    What is coded otherwise, or badly, yields nothing: then no usage is known.
    """

    def __init__(self, encoding: str) -> None:
        name = encoding.strip().lower()
        self.identity = name in {"", "identity"}
        self.known = self.identity or name in {"gzip", "x-gzip", "deflate"}
        """False for br, zstd and the like: what such a body says stays unknown."""
        self._inflate = zlib.decompressobj(_GZIP_OR_ZLIB) if self.known else None

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The plain bytes in pieces of a bounded size."""
        if self.identity:
            yield chunk
            return
        while chunk and self._inflate is not None:
            try:
                piece = self._inflate.decompress(chunk, _PIECE_BYTES)
            except zlib.error:
                self._inflate = None
                return
            if piece:
                yield piece
            chunk = self._inflate.unconsumed_tail
            if self._inflate.eof and self._inflate.unused_data:
                # Some servers end the coding at each flush and begin it anew.
                chunk = self._inflate.unused_data
                self._inflate = zlib.decompressobj(_GZIP_OR_ZLIB)
