"""The result of the last whole audit of an engine, kept so that later runs on it can say so.

One small file per engine, engine version, package version and profile, in the user's state
directory: whichever of them changes, what was found no longer says anything.
"""

import os
from pathlib import Path

from pydantic import ValidationError
from pydantic.dataclasses import dataclass
from pydantic.type_adapter import TypeAdapter

from pacabench import __version__
from pacabench.errors import JournalError
from pacabench.store.files import make_directory, read_regular, replace_file
from pacabench.store.manifest import AuditRecord, fingerprint

_LARGEST_BYTES = 1024**2


@dataclass(frozen=True, slots=True)
class AuditKey:
    """What an audit is about."""

    engine_id: str
    """The engine's own, made at its first start."""
    engine_version: str
    profile: str
    package_version: str = __version__


@dataclass(frozen=True, slots=True)
class AuditSummary:
    """What a whole audit came to."""

    key: AuditKey
    engine: str
    """For people: version, OS and kernel."""
    at: str
    """ISO 8601, UTC."""
    held: int
    broken: tuple[str, ...]
    """Ids of attacks."""
    unproven: tuple[str, ...]
    not_applicable: tuple[str, ...]

    @property
    def record(self) -> AuditRecord:
        """As manifests keep it."""
        return AuditRecord(
            at=self.at, held=self.held, broken=len(self.broken), unproven=len(self.unproven)
        )


_KEYS, _SUMMARIES = TypeAdapter(AuditKey), TypeAdapter(AuditSummary)


def keep_audit(summary: AuditSummary) -> Path:
    """Put it where :func:`find_audit` looks; returns the file.

    Raises:
        JournalError, OSError: the disk does not take it.
    """
    path = _file_of(summary.key)
    make_directory(path.parent)
    replace_file(path, _SUMMARIES.dump_json(summary, indent=2) + b"\n")
    return path


def find_audit(key: AuditKey) -> AuditSummary | None:
    """The last whole audit; None: never made, or what is there cannot be read."""
    try:
        found = _SUMMARIES.validate_json(read_regular(_file_of(key), _LARGEST_BYTES))
    except (JournalError, ValidationError):
        return None
    return found if found.key == key else None


def _file_of(key: AuditKey) -> Path:
    name = fingerprint(_KEYS.dump_python(key)).removeprefix("sha256:")[:32]
    return _state_directory() / "audits" / f"{name}.json"


def _state_directory() -> Path:
    """By the XDG base directory specification; a relative path there is ignored, as it says."""
    told = os.environ.get("XDG_STATE_HOME", "")
    root = Path(told) if told.startswith("/") else Path.home() / ".local" / "state"
    return root / "pacabench"
