"""What every section of the configuration has in common."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)


class Section(BaseModel):
    """A mapping in the YAML: immutable, and an unknown key is an error."""

    # Put together when it is first used, with all that it holds, and not each part by itself.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


class Verbatim:
    """Marks text that may stand unquoted: ``PORT: 080`` is the text ``080`` and no number."""


_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _env_name(name: str) -> str:
    if not _ENV_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name for an environment variable")
    return name


EnvName = Annotated[str, AfterValidator(_env_name)]
VerbatimText = Annotated[
    str, Verbatim(), WithJsonSchema({"type": ["string", "number", "boolean"]}, mode="validation")
]


def _printable(name: str) -> str:
    if not name.isprintable():
        raise ValueError("a name takes no control characters")
    return name


Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200, strip_whitespace=True),
    AfterValidator(_printable),
]


class BuildConfig(Section):
    """The user's own Dockerfile."""

    context: Path = Path()
    dockerfile: Path = Path("Dockerfile")
    args: dict[str, VerbatimText] = Field(default_factory=dict)
    target: str | None = None
