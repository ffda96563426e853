"""Finds the Dockerfiles: ``images/`` of a checkout, ``pacabench/_images`` of a wheel."""

import hashlib
from importlib.resources import files
from pathlib import Path

from pacabench.errors import ImageError


def images_dir() -> Path:
    """The directory that holds the Dockerfiles and scripts.

    Raises:
        ImageError: the installation lacks them.
    """
    package = Path(str(files("pacabench")))
    for candidate in (package / "_images", package.parent / "images"):
        if (candidate / "sidecar" / "Dockerfile").is_file():
            return candidate
    raise ImageError(
        f"this installation of PacaBench lacks its image files (looked in {package / '_images'}); "
        "install it again"
    )


def read_resource(name: str) -> bytes:
    """The bytes of ``name``, a path below :func:`images_dir`.

    Raises:
        ImageError: the installation lacks it.
    """
    path = images_dir() / name
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(
            f"this installation of PacaBench lacks {path} ({error.strerror}); install it again"
        ) from error


def content_key(*parts: bytes | str) -> str:
    """32 hex digits that stand for ``parts``, and for no other list of parts."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()[:32]
