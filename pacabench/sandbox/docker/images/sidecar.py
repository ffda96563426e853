"""The image of the sidecar and of the lane holders."""

import asyncio
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path

from pacabench.errors import ImageError
from pacabench.events import Listener
from pacabench.sandbox.docker.engine import Engine
from pacabench.sandbox.docker.images.base import ensure_default_base
from pacabench.sandbox.docker.images.interpreter import find_interpreter
from pacabench.sandbox.docker.images.resources import content_key, read_resource
from pacabench.sandbox.docker.images.steps import (
    LAYOUT,
    RUN_USER,
    Context,
    Inspect,
    Site,
    build_step,
    built,
)
from pacabench.sandbox.docker.images.tree import Tree, pack, scan_all, scan_paths
from pacabench.sandbox.docker.images.wheels import install_wheels

PARTS = (
    "__init__.py",
    "aio.py",
    "allow_list.py",
    "json_pointer.py",
    "egress.py",
    "billing.py",
    "model.py",
    "provider_tools.py",
    "proxy",
)
"""Of the pacabench package: all that the proxy imports."""
LIBRARIES: Mapping[str, str] = {
    "backports.zstd": 'python_version < "3.14"',
    "brotli": "",
    "httptools": "",
    "multidict": "",
    "orjson": "",
    "yarl": "",
}
"""What it needs, and where."""
_DOCKERFILE = "sidecar/Dockerfile"
_ADD_SITE = "agent-python/add_site.py"


async def ensure_sidecar_image(engine: Engine, *, cache_dir: Path, listener: Listener) -> str:
    """The id of the sidecar's image, built when this version of the proxy has none yet.

    It runs as 65532:65532 and has no command of its own: ``python3 -m pacabench.proxy...`` starts
    what is needed.

    Raises:
        ImageError: it cannot be built; says why and what to do.
    """
    try:
        base = await ensure_default_base(engine, cache_dir=cache_dir, listener=listener)
        step = await asyncio.to_thread(_sidecar_step, str(base["Id"]))
        image = await built(step, base, Site(engine, cache_dir, listener, "sidecar image"))
    except OSError as error:  # the cache directory; docker's errors are of this kind too
        raise ImageError(f"the sidecar's image cannot be made: {error}") from error
    return str(image["Id"])


@dataclass(frozen=True, slots=True)
class _SidecarStep:
    """The proxy with its libraries, of the same versions as the harness uses."""

    key: str
    requirements: str
    code: Tree
    kind: str = "sidecar"
    user: str = RUN_USER

    async def build(self, base: Inspect, site: Site) -> None:
        """See :class:`~pacabench.sandbox.docker.images.steps.Step`."""
        image_id = str(base["Id"])
        interpreter = await find_interpreter(site.engine, image_id, cache_dir=site.cache_dir)
        if interpreter is None:
            raise ImageError(f"the base image {image_id[:19]} has no python3")
        with tempfile.TemporaryDirectory() as folder:
            wanted = Path(folder) / "requirements.txt"
            wanted.write_text(self.requirements)
            installed = await install_wheels(
                wanted,
                self.requirements,
                interpreter,
                cache_dir=site.cache_dir,
                narrator=site.narrator(),
            )
        libraries = await asyncio.to_thread(scan_all, installed)
        context = Context(
            dockerfile=_DOCKERFILE,
            files=[("pacabench/add_site.py", read_resource(_ADD_SITE), 0o644)],
            trees=[("pacabench/site/", libraries), ("pacabench/site/pacabench/", self.code)],
        )
        await build_step(self, base, context, site)


def _requirement(name: str) -> str:
    """A line for pip: the version that the harness has, where it has one."""
    try:
        pinned = f"{name}=={version(name)}"
    except PackageNotFoundError:  # the harness's Python has it built in; the image's may not
        pinned = name
    return f"{pinned}; {LIBRARIES[name]}\n" if LIBRARIES[name] else f"{pinned}\n"


def _sidecar_step(base_id: str) -> _SidecarStep:
    package = Path(str(files("pacabench")))
    modules = (path.relative_to(package) for path in package.rglob("*.py"))
    code = scan_paths(package, (str(path) for path in modules if path.parts[0] in PARTS))
    requirements = "".join(map(_requirement, LIBRARIES))
    recipe = (read_resource(_DOCKERFILE), read_resource(_ADD_SITE))
    key = content_key(LAYOUT, base_id, *recipe, requirements, pack([("", code)]))
    return _SidecarStep(key, requirements, code)
