"""Images that the user's own Dockerfile makes (``sandbox.build``)."""

import asyncio
import stat
import tempfile
from pathlib import Path

import orjson
from docker.utils.build import exclude_paths

from pacabench.config.base import BuildConfig
from pacabench.errors import ImageError
from pacabench.sandbox.docker.images.build import LABEL, Recipe, build_image, find_image
from pacabench.sandbox.docker.images.lock import content_lock
from pacabench.sandbox.docker.images.resources import content_key
from pacabench.sandbox.docker.images.steps import Inspect, Site, proxy_arguments
from pacabench.sandbox.docker.images.tree import Tree, pack, scan_paths


async def ensure_user_build(
    build: BuildConfig,
    project: Path,
    site: Site,
    *,
    key: str = "sandbox.build",
    network: str | None = None,
) -> Inspect:
    """The image that ``build`` makes, built when its context, Dockerfile or arguments changed.

    ``key`` is where the configuration says it; ``network`` is that of its ``RUN`` steps, None the
    engine's default one.

    Raises:
        ImageError: the context or Dockerfile is missing, or the build failed.
    """
    dockerfile, tree = await asyncio.to_thread(read_context, build, project, key=key)
    digest = await asyncio.to_thread(pack, [("", tree)])
    settings = orjson.dumps([dockerfile, sorted(build.args.items()), build.target])
    recipe = Recipe(
        kind="build",
        key=content_key(digest, settings, *([network] if network is not None else [])),
        dockerfile=dockerfile,
        args={**proxy_arguments(), **build.args},
        target=build.target,
        labels=LABEL,
        network=network,
        cached=network is None,
    )
    async with content_lock(site.cache_dir, recipe.key):
        found = await find_image(site.engine, recipe.tag)
        if found is not None:
            return found
        with tempfile.TemporaryFile(dir=site.cache_dir) as file:
            await asyncio.to_thread(pack, [("", tree)], into=file)
            file.seek(0)
            await build_image(site.engine, recipe, file, site.narrator())
    built = await find_image(site.engine, recipe.tag)
    if built is None:
        raise ImageError(f"{recipe.tag} was removed right after it had been built")
    return built


def read_context(build: BuildConfig, project: Path, *, key: str) -> tuple[str, Tree]:
    """The Dockerfile's path in the context of ``build``, and the files of the context.

    Raises:
        ImageError: something is missing, or cannot be read.
    """
    root = (project / build.context).resolve()
    dockerfile = _dockerfile(root, build, key)
    return dockerfile, scan_context(root, dockerfile, key=key)


def _dockerfile(root: Path, build: BuildConfig, key: str) -> str:
    """The Dockerfile's path in the context."""
    if not root.is_dir():
        raise ImageError(f"`{key}.context`: {root} is no directory")
    path = (root / build.dockerfile).resolve()
    if not path.is_relative_to(root):
        raise ImageError(f"`{key}.dockerfile`: {path} is not inside the context {root}")
    if not path.is_file():
        raise ImageError(f"`{key}.dockerfile`: there is no {path}")
    return path.relative_to(root).as_posix()


def scan_context(root: Path, dockerfile: str, *, key: str = "sandbox.build") -> Tree:
    """The files that ``docker build`` would send: all but what ``.dockerignore`` matches.

    Raises:
        ImageError: something cannot be read.
    """
    try:
        ignored = (root / ".dockerignore").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        ignored = []
    except (OSError, UnicodeDecodeError) as error:
        raise ImageError(f"cannot read {root / '.dockerignore'}: {error}") from error
    patterns = [line.strip() for line in ignored]
    patterns = [line for line in patterns if line and not line.startswith("#")]
    try:
        return scan_paths(
            root, exclude_paths(str(root), patterns, dockerfile=dockerfile), stat.S_IMODE
        )
    except OSError as error:
        raise ImageError(f"`{key}.context`: {error}") from error
