"""What of LLM calls is compared, and kept, beyond their metering."""

from typing import Annotated

from pydantic import AfterValidator, Field

from pacabench.config.base import Section
from pacabench.json_pointer import parse_pointer


def _pointer(text: str) -> str:
    parse_pointer(text)
    return text


class ReplayConfig(Section):
    """How calls are compared with recorded ones: `run --record`, `--replay`."""

    ignore: tuple[Annotated[str, AfterValidator(_pointer)], ...] = Field(
        default=(),
        max_length=100,
        description="JSON pointers to what of a request's body is not compared, such as /user.",
    )
    speed: float | None = Field(
        default=None,
        gt=0,
        le=1_000_000,
        description="1: at the pace of the recording; 10: ten times as fast. Default: at once.",
    )
