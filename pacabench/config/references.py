"""``module:function``, as the YAML names the user's own code."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

_REFERENCE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*(?:\.[^\W\d]\w*)*")


def _reference(text: str) -> str:
    if not _REFERENCE.fullmatch(text):
        raise ValueError(f"{text!r} must be of the form `module:function`")
    return text


FunctionReference = Annotated[str, AfterValidator(_reference)]


def module_file(module: str, project: Path) -> Path | None:
    """The file in ``project`` that ``module`` is; None where it is installed."""
    path = project.joinpath(*module.split("."))
    return next(
        (file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None
    )
