"""Finding the JSON of an answer where it has fences in it."""

import time

import pytest

from pacabench.evaluators.json_match import json_in
from pacabench.model import JSON

CODE = "```py\n1\n```"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": "```py\\n1\\n```"}', {"a": CODE}),
        ('```json\n{"a": "```py\\n1\\n```"}\n```', {"a": CODE}),
        ("```42```", 42),
        ('```\n{"a": 2}\n```\n```{"a": 1}```', {"a": 1}),
        ('```\n{"a": 2}\n```\nno:\n```\n{"a": 1}```', {"a": 1}),
        ('So: ```json\r\n{"a": 1}\r\n```', {"a": 1}),
    ],
)
def test_a_fence_in_a_string_parts_nothing(text: str, value: JSON) -> None:
    assert json_in(text) == value


@pytest.mark.parametrize("text", ["```x\n" * 200_000, "```" * 333_333, "```\n" * 250_000])
def test_fences_without_number_end(text: str) -> None:
    began = time.process_time()
    with pytest.raises(ValueError, match="line 1"):
        json_in(text)
    assert time.process_time() - began < 10
