"""Parquet, a batch of rows in memory at a time. Needs ``pacabench[parquet]``."""

import datetime as dt
import decimal
import importlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pacabench.datasets.base import BadRow, BrokenFileError, Row
from pacabench.errors import DatasetError

_BATCH_ROWS = 256


def read_parquet(file: Path) -> Iterator[Row | BadRow]:
    """The rows of ``file``. Times become ISO 8601, decimals text, and NaN null.

    Raises:
        DatasetError: the package that reads it is not installed.
        BrokenFileError: it is no Parquet, or damaged, or a column's name stands twice.
        OSError: it cannot be read.
    """
    arrow, parquet = _packages()
    number = 0
    try:
        with parquet.ParquetFile(file) as table:
            _refuse_twins(table.schema_arrow.names)
            for batch in table.iter_batches(batch_size=_BATCH_ROWS):
                for row in _rows(batch, number):
                    number += 1
                    yield row
    except arrow.ArrowException as error:
        place = f" after row {number}" if number else ""
        raise BrokenFileError(f"cannot be read as Parquet{place}: {error}") from None


def _packages() -> tuple[Any, Any]:
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise DatasetError(
            "Parquet needs the package pyarrow: pip install 'pacabench[parquet]'"
        ) from None


def _refuse_twins(names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise BrokenFileError(f"the column {name[:80]!r} stands twice")


def _rows(batch: Any, before: int) -> Iterator[Row | BadRow]:
    """The rows of ``batch``; where Python cannot hold one of its values, each for itself."""
    try:
        values = batch.to_pylist()
    except (ValueError, OverflowError):
        for place in range(batch.num_rows):
            yield _single(batch.slice(place, 1), before + place + 1)
        return
    for place, value in enumerate(values):
        yield _row(value, before + place + 1)


def _single(batch: Any, number: int) -> Row | BadRow:
    """The one row of ``batch``, or which of its values Python cannot hold.

    Such are times past the year 9999 or to the nanosecond, and text that is no UTF-8.
    """
    value = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            value[name] = column.to_pylist()[0]
        except (ValueError, OverflowError) as error:
            return BadRow(f"column {name!r} holds what cannot be read: {error}", 0, number)
    return _row(value, number)


def _row(value: dict[str, Any], number: int) -> Row | BadRow:
    try:
        return Row({name: _plain(cell, name) for name, cell in value.items()}, 0, number)
    except ValueError as error:
        return BadRow(str(error), 0, number)


def _plain(value: Any, column: str) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(entry, f"{column}.{key}") for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry, column) for entry in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return str(value)
    if value is None or isinstance(value, str | int):
        return value
    kind = "bytes" if isinstance(value, bytes) else type(value).__name__
    raise ValueError(f"column {column!r} holds {kind}, which JSON cannot say")
