"""What a Dockerfile of the user's is built from: its context, without what it ignores."""

import stat
from pathlib import Path

from pacabench.config.base import BuildConfig
from pacabench.errors import ImageError
from pacabench.sandbox.docker.images.tree import Tree, scan_paths


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
    from docker.utils.build import exclude_paths  # noqa: PLC0415 - heavy

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
