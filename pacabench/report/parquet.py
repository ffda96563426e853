"""``pacabench export --format parquet``: typed columns, text exactly as it is. An extra."""

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from pacabench.errors import UsageError
from pacabench.export_mark import EXPORT_MARK
from pacabench.report.rows import Flat

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH = 5000
"""Rows of a row group: what is in memory at a time."""
_MARK = b"pacabench"


def parquet_chunks(flat: Flat) -> Iterator[bytes]:
    """The rows as a Parquet file, piece by piece.

    Raises:
        UsageError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra
        from pyarrow import parquet  # noqa: PLC0415 - an extra
    except ImportError:
        raise UsageError(
            "--format parquet needs pyarrow: pip install 'pacabench[parquet]'"
        ) from None
    schema = _schema(flat)
    sink = _Sink()
    with parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        while rows := list(islice(flat.rows, _BATCH)):
            columns = {name: [_plain(row[name]) for row in rows] for name in flat.columns}
            writer.write_table(pa.table(columns, schema=schema))
            yield sink.drain()
    yield sink.drain()


def _schema(flat: Flat) -> "pa.Schema":
    import pyarrow as pa  # noqa: PLC0415 - an extra

    kinds = {
        "text": pa.string(),
        "integer": pa.int64(),
        "number": pa.float64(),
        "boolean": pa.bool_(),
    }
    fields = [pa.field(name, kinds[kind]) for name, kind in flat.columns.items()]
    return pa.schema(fields, metadata={_MARK: EXPORT_MARK.encode()})


def _plain(value: Any) -> Any:
    """Lone surrogates cannot be encoded."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return value


class _Sink:
    """A file that is handed on as it grows."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self.closed = False

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._size += len(part)
        return len(part)

    def drain(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        self.closed = True

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False
