"""``prepare``: the command that makes a data set, and where it runs."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from pacabench.config.base import EnvName, Section, VerbatimText
from pacabench.config.units import Bytes


class PrepareConfig(Section):
    """A command that makes or changes the data. A text alone is its ``command``."""

    command: str = Field(min_length=1, description="A shell command line, run in `source`.")
    where: Literal["container", "host"] = Field(
        default="container",
        description="container: held as agents are. host: on this machine, with your rights.",
    )
    source: Path | None = Field(
        default=None,
        description="Directory with what the command needs. Default: that of this file.",
    )
    requirements: Path | None = Field(
        default=None, description="A pip requirements file, installed into the image."
    )
    image: str | None = Field(
        default=None, min_length=1, description="In place of PacaBench's Python base."
    )
    network: Literal["none", "engine"] = Field(
        default="none",
        description="What it reaches. engine: what the engine's containers reach by default.",
    )
    env: dict[EnvName, VerbatimText] = Field(default_factory=dict)
    memory: Bytes = 2 * 1024**3
    cpus: float = Field(default=1.0, gt=0, le=1024)
    pids: int = Field(default=256, ge=8, le=100_000)
    size: Bytes = Field(
        default=1024**3, description="Of all that it is given and makes; held in memory."
    )
    timeout_seconds: float = Field(default=3600.0, gt=0, le=7 * 86400)


def _from_text(value: Any) -> Any:
    return {"command": value} if isinstance(value, str) else value


Prepare = Annotated[
    PrepareConfig, BeforeValidator(_from_text, json_schema_input_type=str | PrepareConfig)
]
