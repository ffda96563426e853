"""What a run was begun with, and whether that is still what it would be run with now."""

import platform
from collections.abc import Mapping
from typing import Any

from pacabench import __version__
from pacabench.benchmark import Benchmark
from pacabench.config.canonical import differences
from pacabench.errors import RunChangedError
from pacabench.events import Listener, Notice
from pacabench.sandbox.base import SandboxFacts
from pacabench.store import (
    AuditRecord,
    Manifest,
    ProfileRecord,
    ProviderRecord,
    RunStore,
    SandboxRecord,
    WeaknessRecord,
    fingerprint,
    utc_now,
)
from pacabench.store.audits import AuditKey, find_audit
from pacabench.store.furnish import replace_config

_SHOWN = 20
"""Changes listed in a message."""
_UNCONTAINED = "process"
_LOOSENESS = {"vm": 0, "strict": 1, "compat": 2, "unsafe": 3}


def _identity(manifest: Manifest) -> dict[str, Any]:
    """What the run was begun with, in the form of ``Benchmark.identity``."""
    return {
        "config": manifest.config,
        "selection": manifest.selection.model_dump(mode="json"),
        "datasets": manifest.dataset_hashes,
        "agents": manifest.agent_files,
    }


def refuse_changes(
    store: RunStore, benchmark: Benchmark, listener: Listener, *, accept: bool
) -> None:
    """Refuse to go on with a run that was begun with something else, unless the user accepts it.

    Raises:
        RunChangedError: lists what changed, a line each.
    """
    old, new = _identity(store.manifest), benchmark.identity
    if benchmark.kind == "process":
        # Agents run in their source there, and may leave files of their own.
        new["agents"] = _without_new_files(old["agents"], new["agents"])
    changes = differences(old, new)
    if not changes:
        return
    more = [f"and {len(changes) - _SHOWN} more"] if len(changes) > _SHOWN else []
    listed = "\n".join(f"  {change}" for change in [*changes[:_SHOWN], *more])
    if not accept:
        raise RunChangedError(
            f"run {store.manifest.run_id} was begun with something else:\n{listed}\n"
            "Results of both would be mixed. Undo the change, begin a new run, or go on with "
            "--accept-changes. Files that are no part of an agent belong into .pacabenchignore."
        )
    listener(Notice("warning", f"going on although something changed:\n{listed}"))
    replace_config(store.run_dir, benchmark.loaded.text.decode("utf-8", "surrogateescape"))
    store.update_manifest(**_content(benchmark))


def _without_new_files(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    return {
        agent: {path: value for path, value in files.items() if path in old.get(agent, files)}
        for agent, files in new.items()
    }


def _content(benchmark: Benchmark) -> dict[str, Any]:
    """The part of the manifest that says what is being run."""
    identity = benchmark.identity
    config = benchmark.loaded.config
    return {
        "name": config.name,
        "description": config.description,
        "version": config.version,
        "author": config.author,
        "dataset_hashes": identity["datasets"],
        "dataset_revisions": benchmark.revisions,
        "agent_fingerprints": dict(benchmark.agent_digests),
        "agent_files": identity["agents"],
        "config": identity["config"],
        "config_fingerprint": fingerprint(identity["config"]),
        "config_path": str(benchmark.loaded.path),
        "selection": benchmark.selection,
        "providers": tuple(
            ProviderRecord(name=spec.name, kind=spec.kind) for spec in benchmark.providers
        ),
    }


def new_manifest(run_id: str, benchmark: Benchmark, flags: Mapping[str, Any]) -> Manifest:
    """The manifest of a run that begins now."""
    return Manifest(
        run_id=run_id,
        started=utc_now(),
        package_version=__version__,
        python=platform.python_version(),
        platform=platform.platform(),
        sandbox=SandboxRecord(kind=benchmark.kind),
        flags=dict(flags),
        **_content(benchmark),
    )


def sandbox_record(facts: SandboxFacts, earlier: SandboxRecord) -> SandboxRecord:
    """What the manifest says of the sandbox from now on.

    A promise that did not hold in an ``earlier`` session stays on record: results of it are too.
    So does the loosest way in which an agent was ever kept, where changes of it were accepted.
    """
    kind = earlier.kind if earlier.kind == _UNCONTAINED else facts.kind
    profiles = dict(earlier.profiles)
    for agent, kept in facts.profiles.items():
        now = ProfileRecord(profile=kept.profile, runtime=kept.runtime)
        profiles[agent] = max(profiles.get(agent, now), now, key=_looseness)
    weak = [WeaknessRecord(agents=tuple(it.agents), promise=it.promise) for it in facts.weaknesses]
    return SandboxRecord(
        kind=kind,
        engine=facts.engine,
        image_digests=dict(facts.image_digests),
        profiles={} if kind == _UNCONTAINED else profiles,
        probes=tuple(dict(probe) for probe in facts.probes),
        audit=_audit_of(facts),
        weaknesses=(*earlier.weaknesses, *(it for it in weak if it not in earlier.weaknesses)),
    )


def _looseness(kept: ProfileRecord) -> int:
    return _LOOSENESS.get(kept.profile, len(_LOOSENESS))


def _audit_of(facts: SandboxFacts) -> AuditRecord | None:
    """What ``doctor --audit`` found of this engine, with the profile that all agents have."""
    profiles = {kept.profile for kept in facts.profiles.values()}
    if not facts.engine_id or facts.engine_version is None or len(profiles) != 1:
        return None
    found = find_audit(AuditKey(facts.engine_id, facts.engine_version, profiles.pop()))
    return found.record if found is not None else None
