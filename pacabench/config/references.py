"""``module:function``, as the YAML names the user's own code."""

import re
from typing import Annotated

from pydantic import AfterValidator

_REFERENCE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*(?:\.[^\W\d]\w*)*")


def check_reference(text: str) -> str:
    """``text``, which is of that form.

    Raises:
        ValueError: it is not.
    """
    if not _REFERENCE.fullmatch(text):
        raise ValueError(f"{text!r} must be of the form `module:function`")
    return text


FunctionReference = Annotated[str, AfterValidator(check_reference)]
