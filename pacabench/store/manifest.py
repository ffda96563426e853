"""``run.json``: what a run is made of, and the sessions that worked on it."""

import hashlib
import re
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pacabench.errors import JournalError
from pacabench.model import JSON, Outcome
from pacabench.store.files import read_regular, replace_file

SCHEMA_VERSION = 1
_FILE = "run.json"
_LARGEST_BYTES = 64 * 1024**2
_SEAL = re.compile(rb',\n  "crc": "([0-9a-f]{8})"\n\}\n\Z')
"""How a manifest ends: the CRC-32 of all before. Those of older versions have none."""

StoredStatus: TypeAlias = Literal["running", "finished", "stopped"]
SessionEnd: TypeAlias = Literal["finished", "stopped", "failed", "died"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ProfileRecord(_Part):
    """How tightly an agent was kept."""

    profile: str
    runtime: str | None = None
    """The OCI runtime; None: the engine's default."""


class WeaknessRecord(_Part):
    """A promise of the sandbox that did not hold, in a run that was let go on all the same."""

    agents: tuple[str, ...]
    promise: str
    """What these agents could do that they must not."""


class AuditRecord(_Part):
    """What the last whole ``doctor --audit`` of an engine found: numbers of attacks."""

    at: str
    """ISO 8601, UTC."""
    held: int
    broken: int
    unproven: int
    """Nothing is known of them: their control did not work."""


class SandboxRecord(_Part):
    """Where the agents ran."""

    kind: str
    engine: str | None = None
    """Version, OS and kernel; None without an engine."""
    image_digests: dict[str, str] = Field(default_factory=dict)
    """Agent name (and ``sidecar``) to image id."""
    profiles: dict[str, ProfileRecord] = Field(default_factory=dict)
    """Agent name to its profile; empty where agents were not contained."""
    probes: tuple[dict[str, Any], ...] = ()
    """What the last session's effect probes read back, one per distinct profile and limits."""
    weaknesses: tuple[WeaknessRecord, ...] = ()
    """Of all sessions: what one of them let pass stays said."""
    audit: AuditRecord | None = None
    """Of this engine, at this version, by this version of PacaBench. None: never made."""

    @property
    def held(self) -> bool:
        """False where agents were held less than by default, by the user's wish."""
        unsafe = any(kept.profile == "unsafe" for kept in self.profiles.values())
        return not unsafe and not self.weaknesses


class ProviderRecord(_Part):
    """An LLM provider, without key or address."""

    name: str
    kind: str


class DecisionRecord(_Part):
    """How ``--stop-when-decided`` ended."""

    at: str
    """ISO 8601, UTC."""
    agents: tuple[str, str]
    """A and B."""
    winner: str | None
    """The better agent; None where it was not decided."""
    alpha: float
    """The chance of deciding where there is no difference, at most."""
    pairs: int
    """Looked at until then, and judged on both sides."""
    pairs_planned: int
    only_a: int
    """Pairs in which A alone was right."""
    only_b: int
    p_value: float
    """Always valid, as are the bounds: however often it was looked at."""
    share_b_low: float
    """Of B's share of the pairs in which just one was right, at ``1 - alpha``."""
    share_b_high: float
    not_run: dict[str, int]
    """Agent to number of cases that were left out because it was decided, or out of reach."""
    saved_usd: float | None
    """What these would have cost at the mean of the others; None where no cost is known."""
    out_of_reach: bool = False
    """It was stopped because no outcome of the pairs that were left could have decided it."""
    difference_low: float | None = None
    """Where it was: of B's accuracy less A's over all planned pairs, whatever was left."""
    difference_high: float | None = None

    @property
    def stopped_early(self) -> bool:
        """Cases without a result were left out on purpose."""
        return self.winner is not None or self.out_of_reach


class CassetteRecord(_Part):
    """A run whose LLM calls were recorded, or answered out of a recording."""

    mode: Literal["record", "replay", "replay-or-record"]
    directory: str
    id: str
    """Of the cassette."""
    replayed: str | None = None
    """``sha256:...`` of the index that answers came from, as it was when the run began. None: no
    answer did."""
    recorded: str | None = None
    """``sha256:...`` of the index as the last session left it. None: nothing was recorded."""
    not_recorded: int = 0
    """Calls of deciding attempts that are missing in what was recorded."""


class LimitsRecord(_Part):
    """What calls may use in all; None is no limit."""

    usd: float | None = None
    tokens: int | None = None
    calls: int | None = None


class BudgetRecord(_Part):
    """The limits that the last session kept to."""

    run: LimitsRecord = LimitsRecord()
    agents: dict[str, LimitsRecord] = Field(default_factory=dict)
    """Of those agents that have one of their own."""
    cases: dict[str, LimitsRecord] = Field(default_factory=dict)
    """By agent: of each attempt at a case."""


class Selection(_Part):
    """Which part of the benchmark was asked for. None: all of it."""

    limit: int | None = None
    """Cases per data set."""
    agents: tuple[str, ...] | None = None
    datasets: tuple[str, ...] | None = None
    stop_when_decided: bool = False
    """Cases are shuffled, and left out once it is decided which of two agents is better."""


class Session(_Part):
    """One harness process that worked on the run."""

    started: str
    """ISO 8601, UTC."""
    host: str
    pid: int
    finished: str | None = None
    """None while it works. Of one that died: when the next session noticed."""
    ended: SessionEnd | None = None
    """``failed``: an error stopped it. ``died``: killed, or the machine went down."""
    results_bytes: int = 0
    """How much of ``results.jsonl`` was surely on disk at its end."""
    calls_bytes: int = 0
    """As ``results_bytes``, of ``calls.jsonl``."""
    egress_bytes: int = 0
    """As ``results_bytes``, of ``egress.jsonl``."""
    judge_bytes: int = 0
    """As ``results_bytes``, of ``judge.jsonl``."""


class Manifest(_Part):
    """Everything about a run but its results and calls."""

    run_id: str
    schema_version: int = SCHEMA_VERSION
    name: str
    """Of the benchmark."""
    description: str = ""
    version: str = "0"
    author: str = ""
    status: StoredStatus = "running"
    """``running`` also after a kill -9; :func:`~pacabench.store.record.load_run` looks closer."""
    started: str
    """ISO 8601, UTC, of the first session."""
    finished: str | None = None
    """Of the session that left the run finished or stopped."""
    package_version: str
    python: str
    platform: str
    prices_version: str | None = None
    """The snapshot of ``genai-prices`` that costs were computed with."""
    sandbox: SandboxRecord
    dataset_hashes: dict[str, str] = Field(default_factory=dict)
    dataset_revisions: dict[str, str] = Field(default_factory=dict)
    """Data set to the commit that it was fetched at; later sessions read no other."""
    agent_fingerprints: dict[str, str] = Field(default_factory=dict)
    agent_files: dict[str, dict[str, str]] = Field(default_factory=dict)
    """Agent to its files, each with a short hash of its content, so that a change has a name."""
    config: dict[str, Any] = Field(default_factory=dict)
    """Canonical and without secrets."""
    config_fingerprint: str = ""
    """``sha256:...`` of ``config``, see :func:`fingerprint`."""
    config_path: str = ""
    flags: dict[str, Any] = Field(default_factory=dict)
    """Overrides as they were given on the command line."""
    selection: Selection = Selection()
    planned_cases: dict[str, dict[str, int]] = Field(default_factory=dict)
    """Agent to data set to number of cases."""
    providers: tuple[ProviderRecord, ...] = ()
    decision: DecisionRecord | None = None
    """None: nothing was to be decided, or nothing is yet."""
    cassette: CassetteRecord | None = None
    """None: calls went to their providers, and nothing was recorded."""
    budget: BudgetRecord | None = None
    """None: nothing was limited."""
    outcomes: dict[Outcome, int] | None = None
    """Deciding outcomes at the end of the last session; None while one works or after a crash."""
    sessions: tuple[Session, ...] = ()


def utc_now() -> str:
    """Now, as the manifest writes times: ``2026-01-31T23:59:59.123Z``."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def fingerprint(value: JSON) -> str:
    """``sha256:...`` of ``value``; the order of keys does not matter."""
    canonical = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return f"sha256:{hashlib.sha256(canonical).hexdigest()}"


def has_manifest(run_dir: Path) -> bool:
    """Whether ``run_dir`` looks like a run."""
    return (run_dir / _FILE).is_file()


def read_manifest(run_dir: Path) -> Manifest:
    """The manifest of the run in ``run_dir``.

    Raises:
        JournalError: it is missing, damaged, or of a newer version.
    """
    path = run_dir / _FILE
    content = read_regular(path, _LARGEST_BYTES)
    try:
        return Manifest.model_validate_json(_unsealed(path, content))
    except ValidationError as error:
        if _version(content) > SCHEMA_VERSION:
            raise JournalError(f"{path} was written by a newer PacaBench. Update.") from error
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole file"
        raise JournalError(f"{path} cannot be read ({where}: {first['msg']}).") from error


def write_manifest(run_dir: Path, manifest: Manifest) -> None:
    """Replace the manifest atomically and durably.

    Raises:
        JournalError: the disk does not take it; the old one stands.
    """
    replace_file(run_dir / _FILE, encode_manifest(manifest))


def encode_manifest(manifest: Manifest) -> bytes:
    """``run.json`` as bytes."""
    content = manifest.model_dump_json(indent=2).encode().removesuffix(b"\n}")
    return content + b',\n  "crc": "%08x"\n}\n' % zlib.crc32(content)


def _unsealed(path: Path, content: bytes) -> bytes:
    """``content`` without its checksum.

    Raises:
        JournalError: they do not fit each other.
    """
    seal = _SEAL.search(content)
    if seal is None:
        return content
    sealed = content[: seal.start()]
    if int(seal[1], 16) != zlib.crc32(sealed):
        raise JournalError(
            f"{path} is damaged, or was changed by hand: its checksum does not match. Nothing was "
            "changed. Restore it from a backup; or, if it is what you want, delete its last "
            'member, "crc", with the comma before it.'
        )
    return sealed + b"\n}"


def _version(content: bytes) -> int:
    try:
        version = orjson.loads(content)["schema_version"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return 0
    return version if isinstance(version, int) else 0
