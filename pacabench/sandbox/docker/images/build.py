"""Builds an image on the engine from a tar, and words what goes wrong."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

import docker
from docker.errors import APIError

from pacabench.errors import ImageError
from pacabench.sandbox.docker.engine import Engine
from pacabench.sandbox.docker.images.output import Narrator, clean_line, mask, quote
from pacabench.sandbox.docker.images.stream import STALL_S, Messages, follow

if TYPE_CHECKING:
    from docker.api.build import _ContainerLimits

REPOSITORY = "pacabench"
LABEL = {"pacabench.role": "image"}
"""On every image of ours. Its kind and content are its tag."""
_STEP = re.compile(r"Step (\d+/\d+) : ")
_SILENT = ("ARG ", "FROM ", "LABEL ", "USER ", "ENV ")
"""Instructions that take no time worth a line."""
_BUILDER_TALK = (" ---> ", "Removing intermediate container", "Successfully ")
_CPU_WEIGHT = 512
"""Of 1024 that every other container has."""
_DISK_FULL = "no space left on device"
_BUILDKIT = re.compile(
    r"requires buildkit|unknown flag: mount|unknown instruction: EOF", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What an image is made of, besides the files of its context."""

    kind: str
    """``sidecar``, ``deps``, ``agent`` or ``build``; also the tag's name."""
    key: str
    """Stands for the content; the tag."""
    dockerfile: str = "Dockerfile"
    """Path inside the context."""
    args: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    """Added at the end."""
    network: str | None = "none"
    """Of ``RUN`` steps; None is the engine's default network."""
    cached: bool = True
    """The engine may take layers that it has. It does not ask which network they were made with."""

    @property
    def tag(self) -> str:
        """``pacabench/KIND:KEY``."""
        return f"{REPOSITORY}/{self.kind}:{self.key}"


async def find_image(engine: Engine, reference: str) -> dict[str, Any] | None:
    """What the engine knows about a local image (its ``inspect``), or None."""

    def work(client: docker.APIClient) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = client.inspect_image(reference)  # type: ignore[no-untyped-call]  # types-docker leaves it out
        except docker.errors.ImageNotFound:
            return None
        except APIError as error:
            raise ImageError(
                f"image {reference!r}: {clean_line(error.explanation or '')}"
            ) from error
        return dict(found)  # what is none is no answer of an engine

    return await engine.call(work, repeatable=True)


async def build_image(
    engine: Engine, recipe: Recipe, context: IO[bytes], narrator: Narrator
) -> str:
    """Build ``context`` (a tar, at its start) into ``recipe.tag`` and return the image's id.

    Uses the engine's classic builder: every engine has it, and it needs no client of its own.

    Raises:
        ImageError: a step failed (its last lines are quoted), or took too long.
    """
    log = _BuildLog(narrator)
    limits = await _limits(engine)

    def start(client: docker.APIClient) -> Messages:
        messages: Messages = client.build(
            fileobj=context,
            custom_context=True,
            decode=True,
            nocache=not recipe.cached,
            rm=True,
            forcerm=True,
            tag=recipe.tag,
            dockerfile=recipe.dockerfile,
            buildargs=dict(recipe.args),
            labels=dict(recipe.labels),
            target=recipe.target,
            network_mode=recipe.network,
            container_limits=limits,
            timeout=STALL_S,
        )
        return messages

    doing = f"building {recipe.tag}"
    try:
        await follow(engine, start, log.take, doing=doing)
    except APIError as error:
        raise ImageError(f"{doing}: {explain_failure(str(error.explanation or error))}") from error
    if log.error is not None:
        raise ImageError(f"{doing}: {log.failure()}")
    image = await find_image(engine, recipe.tag)
    if image is None:
        raise ImageError(f"{doing}: the engine said nothing of an error, and there is no image")
    return str(image["Id"])


async def _limits(engine: Engine) -> "_ContainerLimits":
    """What one step of a build may take, all that the classic builder can be told.

    Not a setting: enough for compilers, and too little to take the machine with it. Its CPU time
    gives way to whatever else wants some.
    """
    info = await engine.info()
    memory = int(info.get("MemTotal") or 0) * 3 // 4
    weight: _ContainerLimits = {"cpushares": _CPU_WEIGHT}
    return {**weight, "memory": memory, "memswap": memory} if memory else weight


class _BuildLog:
    """Reads the builder's messages."""

    def __init__(self, narrator: Narrator) -> None:
        self._narrator = narrator
        self._step = ""
        self.error: str | None = None

    def take(self, message: dict[str, Any]) -> None:
        """One message of the stream."""
        text = message.get("stream")
        if isinstance(text, str):
            if step := _STEP.match(text):
                self._step = " ".join(clean_line(text[step.end() :]).split())
                told = not self._step.startswith(_SILENT)
                self._narrator.step(f"{step[1]} {self._step}" if told else "")
            elif not text.startswith(_BUILDER_TALK):
                self._narrator.output(text)
        elif "error" in message:
            self.error = str(message["error"])
        elif isinstance(status := message.get("status"), str):
            self._narrator.progress(pull_progress(status, message))

    def failure(self) -> str:
        """What failed, with the end of what the step had printed."""
        text = f"`{self._step}` failed: {explain_failure(self.error or '')}"
        tail = self._narrator.tail
        return f"{text}\n{quote(tail)}" if tail else text


def pull_progress(status: str, message: Mapping[str, Any]) -> str:
    """One line about a layer under way."""
    detail = message.get("progressDetail") or {}
    layer = f"{message['id']}: " if message.get("id") else ""
    if detail.get("total"):
        share = 100 * detail.get("current", 0) // detail["total"]
        return f"{layer}{status} {share}% of {detail['total'] / 1e6:.0f} MB"
    return f"{layer}{status}"


def explain_failure(text: str) -> str:
    """The engine's words, bounded and masked, with what to do where that is known."""
    shown = mask(clean_line(text, limit=600))
    if _DISK_FULL in text.lower():
        return f"{shown}; the engine's disk is full, see `docker system df`"
    if _BUILDKIT.search(text):
        return (
            f"{shown}; this Dockerfile needs BuildKit: build it yourself "
            "(`docker build -t NAME .`) and set `sandbox.image: NAME`"
        )
    return shown
