"""The step that installs an agent's requirements."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from pacabench.errors import ImageError
from pacabench.events import Notice
from pacabench.sandbox.docker.images.interpreter import find_interpreter
from pacabench.sandbox.docker.images.platforms import Interpreter
from pacabench.sandbox.docker.images.requirement_files import (
    requirement_files,
    requirements_content,
)
from pacabench.sandbox.docker.images.resources import content_key, read_resource
from pacabench.sandbox.docker.images.steps import (
    Context,
    Inspect,
    Site,
    build_step,
    network_mark,
    online_files,
    online_key,
    proxy_arguments,
)
from pacabench.sandbox.docker.images.tree import scan_all
from pacabench.sandbox.docker.images.wheels import NoWheelError, install_wheels

_WHEELS = "agent-python/requirements.Dockerfile"
_PIP = "agent-python/pip.Dockerfile"
_ADD_SITE = "agent-python/add_site.py"


@dataclass(frozen=True, slots=True)
class RequirementsStep:
    """Requirements as wheels from the host, or else by pip inside."""

    key: str
    path: Path
    content: str
    user: str | None
    network: str | None = None
    """Of what is built inside; None: the engine's default one."""
    kind: str = "deps"

    async def build(self, base: Inspect, site: Site) -> None:
        """See :class:`~pacabench.sandbox.docker.images.steps.Step`."""
        image_id = str(base["Id"])
        interpreter = await find_interpreter(site.engine, image_id, cache_dir=site.cache_dir)
        if interpreter is None:
            raise ImageError(
                f"{self.path} cannot be installed: the image has no python3. Take an image that "
                "has one, or install in `setup` or in a Dockerfile of your own (`sandbox.build`)"
            )
        try:
            await self._build_with_wheels(base, interpreter, site)
        except NoWheelError as error:
            if not interpreter.has_pip:
                raise ImageError(
                    f"{error}\n  PacaBench builds nothing on this machine, and the image has no "
                    "pip to build it inside. Pin a version that has wheels, or take an image with "
                    "pip and a compiler (`sandbox.image`), or your own Dockerfile (`sandbox.build`)"
                ) from error
            first = str(error).partition("\n")[0]
            site.listener(Notice("warning", f"{first}; installing with the image's pip, inside"))
            await self._build_with_pip(base, site)

    async def _build_with_wheels(self, base: Inspect, interpreter: Interpreter, site: Site) -> None:
        if interpreter.implementation != "cpython" or not interpreter.libc:
            raise NoWheelError(f"{self.path}: wheels are only looked up for CPython on Linux")
        installed = await install_wheels(
            self.path,
            self.content,
            interpreter,
            cache_dir=site.cache_dir,
            narrator=site.narrator(),
        )
        tree = await asyncio.to_thread(scan_all, installed)
        await build_step(
            self,
            base,
            Context(
                dockerfile=_WHEELS,
                files=[("pacabench/add_site.py", read_resource(_ADD_SITE), 0o644)],
                trees=[("pacabench/site/", tree)],
            ),
            site,
        )

    async def _build_with_pip(self, base: Inspect, site: Site) -> None:
        texts = requirement_files(self.path)
        root = _common_root(list(texts))
        place = "pacabench/requirements"
        main = f"-r files/{self.path.resolve().relative_to(root)}\n{network_mark(self.network)}"
        inside = [
            (f"{place}/files/{path.relative_to(root)}", text.encode(), 0o644)
            for path, text in texts.items()
        ]
        await build_step(
            self,
            base,
            Context(
                dockerfile=_PIP,
                files=[
                    (f"{place}/requirements.txt", main.encode(), 0o644),
                    *inside,
                    *online_files(),
                ],
                args=proxy_arguments(),
                network=self.network,
            ),
            site,
        )


def requirements_step(
    before: str, path: Path, *, user: str | None, network: str | None = None
) -> RequirementsStep:
    """The step for the file at ``path``, on top of what ``before`` stands for.

    Raises:
        ImageError: the file, or one that it includes, cannot be read.
    """
    content = requirements_content(path)
    parts = [read_resource(name) for name in (_WHEELS, _PIP, _ADD_SITE)] + [online_key()]
    offline = [network] if network is not None else []
    key = content_key(before, *parts, content, user or "", *offline)
    return RequirementsStep(key, path, content, user, network)


def _common_root(paths: list[Path]) -> Path:
    root = paths[0].parent
    while not all(path.is_relative_to(root) for path in paths):
        root = root.parent
    return root
