"""``python:module:function``: rows that the user's own code makes. Trusted."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pacabench.config.references import check_reference
from pacabench.datasets.base import BadRow, BrokenFileError, Place, Row, Source
from pacabench.datasets.decode import row_of
from pacabench.errors import ConfigError, DatasetError
from pacabench.user_code import load_function


class PythonPart:
    """What a function without parameters yields: mappings, one per row."""

    def __init__(self, reference: str, place: Place) -> None:
        self._reference = reference
        try:
            self._function = load_function(check_reference(reference), place.project)
        except (ConfigError, ValueError) as error:
            raise DatasetError(f"source python:{error}") from error

    @property
    def shown(self) -> str:
        """See :class:`~pacabench.datasets.base.Part`."""
        return self._reference

    @property
    def stored(self) -> Path | None:
        """See :class:`~pacabench.datasets.base.Part`."""
        return None

    def rows(self, split: str | None) -> tuple[Iterator[Row | BadRow], bool]:  # noqa: ARG002
        """See :class:`~pacabench.datasets.base.Part`."""
        return self._rows(), False

    def _rows(self) -> Iterator[Row | BadRow]:
        number = 0
        try:
            values: Any = self._function()
            for value in values:
                number += 1
                row = dict(value) if hasattr(value, "keys") else value
                yield row_of(_finite(row), 0, number)
        except Exception as error:  # whatever a user's function raises
            text = f"{type(error).__name__}: {error}"[:500]
            raise BrokenFileError(f"failed after {number} rows: {text}") from error


def _finite(value: Any) -> Any:
    """``value`` with null for numbers that are none, as with Parquet: JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def open_python(reference: str, split: str | None, place: Place) -> Source:
    """The rows of a function.

    Raises:
        DatasetError: there is no such function.
    """
    return Source((PythonPart(reference, place),), split)
