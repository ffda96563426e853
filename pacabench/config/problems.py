"""What is wrong with a configuration: collected, so that one look mends all of it."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from pacabench.config.masking import mask
from pacabench.errors import ConfigError

KeyPath = tuple[str | int, ...]
"""Where a value stands: ``("agents", 0, "env", "MODEL")``."""

_SHOWN_LIMIT = 50
_LINE = re.compile(r":(\d+)$")
_AFTER_ALL = 2**31


def dotted(path: KeyPath) -> str:
    """``agents[0].env.MODEL``, as messages and documents write a path."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{clean(part)}" if text else clean(part)
    return text


def clean(text: str, limit: int = 120) -> str:
    """``text`` fit for one line of a message: cut, and control characters escaped."""
    cut = text if len(text) <= limit else text[: limit - 3] + "..."
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in cut)


def shown(value: object, limit: int = 80) -> str:
    """``value`` as a message quotes it: on one line, and not long."""
    return clean(repr(value), limit)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The name in ``known`` that was probably meant."""
    names = list(dict.fromkeys(known))
    folded = {entry.casefold().replace("-", "_"): entry for entry in names}
    close = difflib.get_close_matches(
        name.casefold().replace("-", "_"), list(folded), n=1, cutoff=0.6
    )
    return folded[close[0]] if close else None


@dataclass(slots=True)
class Problems:
    """Every fault found so far."""

    found: dict[str, int] = field(default_factory=dict)
    """A message to the line it is about; dictionaries keep order, and hold each once."""
    paths: set[KeyPath] = field(default_factory=set)
    """Keys that a fault was reported for: what follows from it is not reported again."""

    def add(self, place: str, path: KeyPath, message: str) -> None:
        """Note that ``message`` holds of the key ``path``, found at ``place``."""
        key = dotted(path)
        line = f"{place}: {key}: {message}" if key else f"{place}: {message}"
        number = _LINE.search(place)
        self.found.setdefault(line, int(number[1]) if number else _AFTER_ALL)
        self.paths.add(path)

    def covers(self, path: KeyPath) -> bool:
        """Whether this key, or one that it stands in, was reported already."""
        return any(path[:length] in self.paths for length in range(1, len(path) + 1))

    def raise_any(self, secrets: Iterable[str] = ()) -> None:
        """Raise one error with a line per fault, if there is any. ``secrets`` are masked in it.

        Raises:
            ConfigError: something was added.
        """
        if not self.found:
            return
        lines = [mask(line, secrets) for line in sorted(self.found, key=self.found.__getitem__)]
        extra = len(lines) - _SHOWN_LIMIT
        lines = lines[:_SHOWN_LIMIT]
        if extra > 0:
            lines.append(f"and {extra} more")
        raise ConfigError("\n".join(lines))
