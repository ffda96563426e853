"""Makes a file in each directory that belongs to the image, and removes it again."""

import secrets
from functools import partial
from pathlib import Path

from pacabench.audit.attacks.kit import Found, Given, found, outcome

_PLACES = ("/", "/etc", "/usr/bin", "/var", "/opt/pacabench", "/home", "/root", "/run")


def attack(_: Given) -> Found:
    """See above."""
    name = f".{secrets.token_hex(4)}"
    seen = {place: outcome(partial(_make, Path(place, name))) for place in _PLACES}
    return found("done" in seen.values(), made=seen)


def _make(path: Path) -> None:
    path.touch(exist_ok=False)
    path.unlink()
