"""Whether two JSON values are the same, and if not, where they differ first."""

from dataclasses import dataclass
from decimal import Decimal

from pacabench.evaluators.decimals import from_json, within
from pacabench.evaluators.text import excerpt, text_of
from pacabench.model import JSON

MOST_UNORDERED = 200
"""Entries of a list that are compared in any order: the work grows with their square."""
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Comparison:
    """How values are compared."""

    subset: bool = False
    """Objects of the answer may have further keys."""
    tolerance: Decimal = Decimal(0)
    ignore_order: bool = False
    ignore_case: bool = False

    def difference(self, wanted: JSON, found: JSON, path: str = "$") -> str | None:
        """Where ``found`` is not what is ``wanted``, in words; None where it is."""
        if isinstance(wanted, dict) and isinstance(found, dict):
            return self._of_objects(wanted, found, path)
        if isinstance(wanted, list) and isinstance(found, list):
            return self._of_lists(wanted, found, path)
        if self._same(wanted, found):
            return None
        return f"at {path}: {_shown(found)}, and {_shown(wanted)} is wanted"

    def _same(self, wanted: JSON, found: JSON) -> bool:
        if _is_number(wanted) and _is_number(found):
            return within(from_json(wanted), from_json(found), self.tolerance)
        if isinstance(wanted, str) and isinstance(found, str) and self.ignore_case:
            return wanted.casefold() == found.casefold()
        return type(wanted) is type(found) and bool(wanted == found)

    def _of_objects(self, wanted: dict[str, JSON], found: dict[str, JSON], path: str) -> str | None:
        for key, value in wanted.items():
            if key not in found:
                return f"at {path}: the key {_shown(key)} is missing"
            difference = self.difference(value, found[key], f"{path}.{excerpt(key, _SHOWN)}")
            if difference is not None:
                return difference
        further = [key for key in found if key not in wanted]
        if further and not self.subset:
            return f"at {path}: the key {_shown(further[0])} is not wanted"
        return None

    def _of_lists(self, wanted: list[JSON], found: list[JSON], path: str) -> str | None:
        if len(wanted) != len(found):
            return f"at {path}: {len(found)} entries, and {len(wanted)} are wanted"
        if not self.ignore_order:
            pairs = enumerate(zip(wanted, found, strict=True))
            differences = (self.difference(*pair, f"{path}[{place}]") for place, pair in pairs)
            return next((text for text in differences if text is not None), None)
        if len(wanted) > MOST_UNORDERED:
            return f"at {path}: more than {MOST_UNORDERED} entries are not compared in any order"
        missing = self._unmatched(wanted, found)
        if missing is None:
            return None
        return f"at {path}: no entry is {_shown(wanted[missing])}"

    def _unmatched(self, wanted: list[JSON], found: list[JSON]) -> int | None:
        """An entry that is wanted and has no partner; None where each has one of its own.

        With a tolerance an entry may fit several: partners are found along augmenting paths.
        """
        fits = [
            [place for place, entry in enumerate(found) if self.difference(value, entry) is None]
            for value in wanted
        ]
        partner: dict[int, int] = {}

        def find_one(index: int, seen: set[int]) -> bool:
            for place in fits[index]:
                if place not in seen:
                    seen.add(place)
                    if place not in partner or find_one(partner[place], seen):
                        partner[place] = index
                        return True
            return False

        return next((index for index in range(len(wanted)) if not find_one(index, set())), None)


def _is_number(value: JSON) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: JSON) -> str:
    return excerpt(text_of(value) or "null", _SHOWN)
