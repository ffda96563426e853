"""Files of requirements, with those that they include."""

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from pacabench.errors import ImageError
from pacabench.sandbox.docker.images.resources import content_key

_INCLUDE = re.compile(r"^\s*(?:-r|-c|--requirement|--constraint)(?:\s+|\s*=\s*)(\S+)", re.MULTILINE)
_LOCAL_WHEEL = re.compile(r"^\s*([^\s#;-][^\s;]*\.whl)", re.MULTILINE)
_MOST_FILES = 100


def requirements_content(path: Path) -> str:
    """Stands for the file, what it includes, and the wheels in the project that they name.

    Raises:
        ImageError: one of the files cannot be read.
    """
    parts: list[str | bytes] = []
    folder = path.resolve().parent
    for name, text in requirement_files(path).items():
        parts += [os.path.relpath(name, folder), text]
        for match in _LOCAL_WHEEL.finditer(text):
            wheel = folder / match[1]
            if wheel.is_file():
                parts.append(hashlib.sha256(wheel.read_bytes()).digest())
    return content_key(*parts)


def requirement_files(path: Path) -> dict[Path, str]:
    """``path`` and what it includes (``-r``, ``-c``): absolute path and text of each.

    Raises:
        ImageError: one cannot be read, or there are absurdly many.
    """
    found: dict[Path, str] = {}
    for include in _included(path.resolve(), found):
        if len(found) > _MOST_FILES:
            raise ImageError(f"{path} includes more than {_MOST_FILES} files, the last {include}")
    return found


def _included(path: Path, found: dict[Path, str]) -> Iterator[Path]:
    if path in found:
        return
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ImageError(f"cannot read the requirements file {path}: {error}") from error
    found[path] = text
    yield path
    for match in _INCLUDE.finditer(text):
        if "://" not in match[1]:
            yield from _included((path.parent / match[1]).resolve(), found)
