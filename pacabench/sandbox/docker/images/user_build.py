"""Images that the user's own Dockerfile makes (``sandbox.build``)."""

import asyncio
import tempfile
from pathlib import Path

import orjson

from pacabench.config.base import BuildConfig
from pacabench.errors import ImageError
from pacabench.sandbox.docker.images.build import LABEL, Recipe, build_image, find_image
from pacabench.sandbox.docker.images.build_context import read_context
from pacabench.sandbox.docker.images.lock import content_lock
from pacabench.sandbox.docker.images.resources import content_key
from pacabench.sandbox.docker.images.steps import Inspect, Site, proxy_arguments
from pacabench.sandbox.docker.images.tree import pack


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
