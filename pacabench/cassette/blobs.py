"""``blobs/``: exchanges by the hash of their content, compressed with Zstandard.

A blob is there whole or not at all: it is written beside its place, synced, and renamed.
"""

import hashlib
import secrets
import sys
from pathlib import Path

from pacabench.durable import sync_directory
from pacabench.errors import CassetteError, JournalError
from pacabench.proxy.exchange import (
    MAX_EXCHANGE_BYTES,
    Exchange,
    ExchangeError,
    decode_exchange,
)
from pacabench.store.files import file_error, read_regular, write_new

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_SUFFIX = ".zst"
_DRAFT = ".draft-"
_PACKED: dict[int, int] = {
    zstd.CompressionParameter.compression_level: 3,
    zstd.CompressionParameter.checksum_flag: 1,
}
_UNPACKED: dict[int, int] = {zstd.DecompressionParameter.window_log_max: 23}
"""8 MiB: level 3 never needs more."""
_MAX_FILE_BYTES = MAX_EXCHANGE_BYTES + 1024**2


class Blobs:
    """The blobs of one cassette. For one thread that writes; any may read."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def remove_drafts(self) -> None:
        """Take away what a killed writer had begun."""
        for path in self._directory.glob(f"{_DRAFT}*"):
            path.unlink(missing_ok=True)

    def put(self, content: bytes) -> str:
        """Keep ``content``; its hash. On disk, but for its name, which :meth:`sync` sees to.

        Raises:
            JournalError: the disk does not take it.
        """
        name = hashlib.sha256(content).hexdigest()
        path = self._directory / f"{name}{_SUFFIX}"
        if path.exists():
            return name
        draft = self._directory / f"{_DRAFT}{secrets.token_hex(8)}"
        try:
            write_new(draft, zstd.compress(content, options=_PACKED))
            draft.replace(path)
        except OSError as error:
            raise file_error("write", path, error) from error
        finally:
            draft.unlink(missing_ok=True)
        return name

    def sync(self) -> None:
        """Return once the names of all blobs are on disk.

        Raises:
            OSError: they are not.
        """
        sync_directory(self._directory)

    def get(self, name: str, size_bytes: int) -> Exchange:
        """The exchange called ``name``, which has ``size_bytes``.

        Raises:
            CassetteError: it is missing, too long, damaged, or no exchange.
        """
        path = self._directory / f"{name}{_SUFFIX}"
        if size_bytes > MAX_EXCHANGE_BYTES:
            raise CassetteError(f"{path.name} is said to be longer than an exchange can be")
        try:
            content = _decompressed(read_regular(path, _MAX_FILE_BYTES), size_bytes)
            if hashlib.sha256(content).hexdigest() != name:
                raise CassetteError(f"{path.name} is damaged: it is not what its name says")
            return decode_exchange(content)
        except JournalError as error:
            raise CassetteError(str(error)) from None
        except (ExchangeError, zstd.ZstdError) as error:
            raise CassetteError(f"{path.name} cannot be read: {error}") from None


def _decompressed(data: bytes, size_bytes: int) -> bytes:
    """Not one byte more than it should be, however much is packed into ``data``."""
    unpacker = zstd.ZstdDecompressor(options=_UNPACKED)
    parts, left = [], size_bytes + 1
    while left > 0 and not unpacker.eof:
        part = unpacker.decompress(data, min(left, 1024**2))
        if not part and unpacker.needs_input:
            break
        parts.append(part)
        left -= len(part)
        data = b""
    content = b"".join(parts)
    if len(content) != size_bytes or not unpacker.eof or unpacker.unused_data:
        raise CassetteError("a blob is longer or shorter than the index says")
    return content
