"""What dead harnesses left on the engine: found by label and owner, never by guess."""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import docker
from docker.errors import APIError

from pacabench.owner import Owner, current_owner, is_alive
from pacabench.sandbox.docker.connection import explain
from pacabench.sandbox.docker.engine import Engine
from pacabench.sandbox.docker.labels import ROLE, RUN, RUN_DIR, SESSION, Role, read_owner

ABANDONED_AFTER_S = 600.0
"""For owners that cannot be judged from here. A live run is never without a sidecar that long."""


@dataclass(frozen=True, slots=True)
class LeftContainer:
    """A container of a dead harness."""

    id: str
    role: str
    running: bool


@dataclass(frozen=True, slots=True)
class Leftover:
    """Everything that one dead sandbox left."""

    run_id: str
    run_dir: Path | None
    owner: Owner
    containers: tuple[LeftContainer, ...]
    volumes: tuple[str, ...]
    networks: tuple[str, ...]

    @property
    def text(self) -> str:
        """One line for people."""
        counts = {
            "container": len(self.containers),
            "volume": len(self.volumes),
            "network": len(self.networks),
        }
        parts = [f"{count} {kind}{'s' * (count > 1)}" for kind, count in counts.items() if count]
        return (
            f"run {self.run_id}: {', '.join(parts)} "
            f"(of process {self.owner.pid} on {self.owner.host}, which is gone)"
        )


@dataclass(frozen=True, slots=True)
class _Found:
    """One labelled object."""

    kind: str
    name: str
    labels: Mapping[str, str]
    created: float
    running: bool = False


async def find_leftovers(engine: Engine) -> list[Leftover]:
    """What belongs to harnesses that are dead, one entry per sandbox that they had open.

    Raises:
        SandboxError: the engine does not tell.
    """
    try:
        found = await engine.call(_find_all, repeatable=True)
    except APIError as error:
        raise explain(error, "looking for what dead runs left") from error
    sessions: dict[str, list[_Found]] = defaultdict(list)
    for item in found:
        sessions[item.labels[SESSION]].append(item)
    leftovers = [_leftover(items) for items in sessions.values() if _is_dead(items)]
    return sorted(leftovers, key=lambda leftover: leftover.run_id)


def _find_all(client: docker.APIClient) -> list[_Found]:
    wanted = {"label": [SESSION]}
    containers = [
        _Found("container", item["Id"], item["Labels"], item["Created"], item["State"] == "running")
        for item in client.containers(all=True, filters=wanted)
    ]
    volumes = [
        _Found("volume", item["Name"], item["Labels"], _unix(item.get("CreatedAt")))
        for item in client.volumes(filters=wanted).get("Volumes") or ()
    ]
    networks = [
        _Found("network", item["Id"], item["Labels"], _unix(item.get("Created")))
        for item in client.networks(filters=wanted)
    ]
    return [*containers, *volumes, *networks]


def _unix(text: str | None) -> float:
    """The engine's time as Unix seconds; now, where it says none: then nothing is old."""
    try:
        return datetime.fromisoformat(text or "").timestamp()
    except ValueError:
        return time.time()


def _is_dead(items: Iterable[_Found]) -> bool:
    items = list(items)
    owner = read_owner(items[0].labels)
    if owner is None:
        return False
    if owner.machine == current_owner().machine:
        return not is_alive(owner)
    has_sidecar = any(item.running and item.labels.get(ROLE) == Role.SIDECAR for item in items)
    return not has_sidecar and time.time() - max(i.created for i in items) > ABANDONED_AFTER_S


def _leftover(items: list[_Found]) -> Leftover:
    labels = items[0].labels
    owner = read_owner(labels)
    assert owner is not None
    folder = Path(labels.get(RUN_DIR, ""))
    return Leftover(
        run_id=labels.get(RUN, "?"),
        run_dir=folder if folder.is_absolute() and folder.is_dir() else None,
        owner=owner,
        containers=tuple(
            LeftContainer(item.name, item.labels.get(ROLE, ""), item.running)
            for item in items
            if item.kind == "container"
        ),
        volumes=tuple(item.name for item in items if item.kind == "volume"),
        networks=tuple(item.name for item in items if item.kind == "network"),
    )
