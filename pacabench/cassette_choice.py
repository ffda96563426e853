"""Which cassette a command line asks for. Of its own, so that no command imports more for it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

Mode: TypeAlias = Literal["record", "replay", "replay-or-record"]


@dataclass(frozen=True, slots=True)
class CassetteChoice:
    """What the command line asks for."""

    mode: Mode
    directory: Path

    @property
    def sealed(self) -> bool:
        """No call goes to a provider."""
        return self.mode == "replay"
