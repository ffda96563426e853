"""Which rows of a source are meant: its ``split``, and what ``filter`` lets through."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pacabench.columns import MISSING, find
from pacabench.datasets.base import BadRow, BrokenFileError, Row
from pacabench.model import JSON

_SHOWN = 20


@dataclass(slots=True)
class Chooser:
    """Lets rows through. One for all files of a source, so that it can say what none of them had.

    Rows that cannot be read count to every split.
    """

    split: str | None
    """The column ``split`` has to say so; None where the source has settled it."""
    filter: Mapping[str, JSON]
    """Column to the value it must have, or to a list of them."""
    broken: bool = False
    """A part could not be read to its end: what none had may be there."""
    _splits: set[str] = field(default_factory=set)
    _in_split: int = 0
    _kept: int = 0
    _met: set[str] = field(default_factory=set)

    def rows(self, rows: Iterator[Row | BadRow], *, settled: bool) -> Iterator[Row | BadRow]:
        """Those of ``rows`` that are meant. ``settled``: they are of the split already."""
        chooses = bool(self.filter) or (self.split is not None and not settled)
        for row in rows:
            if not chooses and isinstance(row, Row):
                self._in_split += 1
                self._kept += 1
                yield row
            elif isinstance(row, BadRow) or self._is_meant(row, settled=settled):
                yield row

    def _is_meant(self, row: Row, *, settled: bool) -> bool:
        if self.split is not None and not settled and row.value.get("split") != self.split:
            if len(self._splits) < _SHOWN:
                self._splits.add(repr(row.value.get("split"))[:60])
            return False
        self._in_split += 1
        fits = True
        for column, wanted in self.filter.items():
            value = find(row.value, column)
            if value is not MISSING:
                self._met.add(column)
            allowed = wanted if isinstance(wanted, list | tuple) else [wanted]
            fits = fits and any(_same(value, entry) for entry in allowed)
        self._kept += fits
        return fits

    def settle(self) -> None:
        """Call it after the last row.

        Raises:
            BrokenFileError: no row was of the split, or ``filter`` is a mistake.
        """
        if self.broken:
            return
        if self.split is not None and not self._in_split:
            known = ", ".join(sorted(self._splits)) or "no rows"
            raise BrokenFileError(
                f"no row's column `split` says {self.split!r}; there are: {known}"
            )
        if not self._in_split:
            return
        for column in self.filter:
            if column not in self._met:
                raise BrokenFileError(f"no row has the column {column!r} that `filter` names")
        if not self._kept:
            raise BrokenFileError(f"`filter` lets none of {self._in_split} rows through")


def _same(value: object, wanted: object) -> bool:
    """Equal, and true is not 1; in a table of texts the number 1 is the text ``1``."""
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted or (isinstance(value, str) and value.lower() == str(wanted).lower())
    return value == wanted or (isinstance(value, str) and value == str(wanted))
