"""The steps that an agent's image is made in: base, requirements, setup, source.

A step's key covers its content and the keys before it. So what is done is found by asking for the
last key first, without looking at what it stands on.
"""

import asyncio
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pacabench.errors import ImageError
from pacabench.events import Listener
from pacabench.sandbox.docker.engine import Engine
from pacabench.sandbox.docker.images.build import LABEL, REPOSITORY, Recipe, build_image, find_image
from pacabench.sandbox.docker.images.lock import content_lock
from pacabench.sandbox.docker.images.output import Narrator
from pacabench.sandbox.docker.images.resources import read_resource
from pacabench.sandbox.docker.images.tree import Tree, pack

SOURCE_DIR = "/opt/agent"
LAYOUT = "1"
"""Part of every key; changes when :func:`build_step` does something else with the same files."""
RUN_USER = "65532:65532"
"""Whom an image runs as that does not say it itself."""
_RUNNER = "agent-python/run.sh"
Inspect = dict[str, Any]
"""What the engine says about an image."""
Files = Sequence[tuple[str, bytes, int]]
"""Path in the context, bytes, mode."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where images are made and who is told."""

    engine: Engine
    cache_dir: Path
    listener: Listener
    subject: str
    """For progress: ``agent NAME``."""

    def narrator(self) -> Narrator:
        """A fresh one; call it in the event loop's thread."""
        return Narrator(self.listener, self.subject)


class Step(Protocol):
    """One layer of an agent's image."""

    @property
    def kind(self) -> str:
        """``deps`` or ``agent``: the tag's name."""
        ...

    @property
    def key(self) -> str:
        """The tag: stands for this step and all before it."""
        ...

    @property
    def user(self) -> str | None:
        """Whom the image runs as; None leaves it root, for the next step."""
        ...

    async def build(self, base: Inspect, site: Site) -> None:
        """Build on ``base`` and tag ``pacabench/KIND:KEY``.

        Raises:
            ImageError: it cannot be built.
        """
        ...


@dataclass(frozen=True, slots=True)
class Context:
    """A Dockerfile of ours with its files."""

    dockerfile: str
    """Name below ``images/``."""
    files: Files = ()
    trees: Sequence[tuple[str, Tree]] = ()
    args: Mapping[str, str] = field(default_factory=dict)
    network: str | None = "none"


async def build_step(step: Step, base: Inspect, context: Context, site: Site) -> None:
    """Build ``context`` on ``base`` as ``step``'s image.

    Raises:
        ImageError: see :func:`~pacabench.sandbox.docker.images.build.build_image`.
    """
    recipe = Recipe(
        kind=step.kind,
        key=step.key,
        args={**context.args, "BASE": str(base["Id"])},
        network=context.network,
    )
    dockerfile = complete_dockerfile(read_resource(context.dockerfile), base, user=step.user)
    files = [("Dockerfile", dockerfile, 0o644), *context.files]
    with tempfile.TemporaryFile(dir=site.cache_dir) as file:  # /tmp may be small
        await asyncio.to_thread(pack, context.trees, files, into=file)
        file.seek(0)
        await build_image(site.engine, recipe, file, site.narrator())


def tag_of(step: Step) -> str:
    """The tag of ``step``'s image."""
    return f"{REPOSITORY}/{step.kind}:{step.key}"


async def built(step: Step, base: Inspect, site: Site) -> Inspect:
    """The image of ``step`` on ``base``, built if there is none, by one maker at a time.

    Raises:
        ImageError: it cannot be built.
    """
    found = await find_image(site.engine, tag_of(step))
    if found is not None:
        return found
    async with content_lock(site.cache_dir, step.key):
        found = await find_image(site.engine, tag_of(step))
        if found is None:
            await step.build(base, site)
            found = await find_image(site.engine, tag_of(step))
    if found is None:
        raise ImageError(f"{tag_of(step)} was removed right after it had been built")
    return found


def user_of(image: Inspect) -> str:
    """The user that ``image`` runs as; empty for root."""
    user = str((image.get("Config") or {}).get("User") or "")
    return "" if user.partition(":")[0] in {"0", "root"} else user


def complete_dockerfile(dockerfile: bytes, base: Inspect, *, user: str | None) -> bytes:
    """A Dockerfile of ours with what depends on ``base``: the label, and who runs it.

    The classic builder makes a container and a layer for each instruction, which takes seconds on
    some engines. So there is none that changes nothing, and no ``ARG``.
    """
    head, start, body = dockerfile.decode().partition("FROM ${BASE}\n")
    has = (base.get("Config") or {}).get("Labels") or {}
    missing = [f"{name}={value}" for name, value in LABEL.items() if has.get(name) != value]
    lines = [
        *(["USER root"] if user_of(base) else []),
        body.rstrip("\n"),
        *([f"LABEL {' '.join(missing)}"] if missing else []),
        *([f"USER {user}"] if user else []),
    ]
    return (head + start + "\n".join(lines) + "\n").encode()


def proxy_arguments(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Build arguments for the host's proxies. The builder keeps these out of the image."""
    names = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "FTP_PROXY")
    return {
        name: environment[name]
        for upper in names
        for name in (upper, upper.lower())
        if environment.get(name)
    }


def network_mark(network: str | None) -> str:
    """A line for a file that a step copies: the engine's cache of layers knows files alone.

    Else what was made with a network would be taken for what is made without one.
    """
    return f"# network: {network}\n" if network is not None else ""


def online_key() -> bytes:
    """What of :func:`online_files` is content: certificates are the way there."""
    return read_resource(_RUNNER)


def online_files(environment: Mapping[str, str] = os.environ) -> Files:
    """What a step with a network gets besides: the runner and the host's certificates, if own."""
    files = [("pacabench/online/run.sh", read_resource(_RUNNER), 0o755)]
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE"):
        path = Path(environment.get(name) or "/dev/null")
        if path.is_file():
            return [*files, ("pacabench/online/ca.pem", path.read_bytes(), 0o644)]
    return files
