"""Messages to and from agents; what comes from them is hostile."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacabench.model import Case
from pacabench.protocol import encode_case, parse_answer

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


class TestParseAnswer:
    @given(line=st.binary(max_size=300))
    def test_no_bytes_raise(self, line: bytes) -> None:
        parse_answer(line)

    @given(output=json_values)
    def test_every_json_value_can_be_an_answer(self, output: object) -> None:
        answer = parse_answer(orjson.dumps({"output": output, "error": None}))

        assert answer is not None
        assert answer.output == output
        assert answer.error is None

    @pytest.mark.parametrize(
        "line",
        [
            b"",
            b"The answer is 4",
            b"42",
            b"null",
            b'"output"',
            b'["output"]',
            b"{}",
            b'{"result": 4}',
            b'{"error": null}',
            b'{"output": 4',
            b'{"output": NaN}',
            b'{"output": Infinity}',
            b'{"output": "\xff"}',
            b'{"output": "\\ud800"}',
            b'{"output": 4} trailing',
            b'{"output": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
            b'{"output": 1, "pad": "' + b"x" * (32 * 1024**2) + b'"}',
        ],
        ids=lambda line: line[:24].decode("ascii", "replace"),
    )
    def test_what_is_no_answer_is_log(self, line: bytes) -> None:
        assert parse_answer(line) is None

    def test_an_error_alone_is_an_answer(self) -> None:
        answer = parse_answer(b'{"error": "out of ideas"}')

        assert answer is not None
        assert answer.error == "out of ideas"

    def test_an_error_that_is_no_text_is_shown_as_json(self) -> None:
        answer = parse_answer(b'{"output": 1, "error": {"code": 7}}')

        assert answer is not None
        assert answer.error == '{"code":7}'

    def test_white_space_around_it_does_not_matter(self) -> None:
        assert parse_answer(b'  {"output": 1} \r') is not None


class TestEncodeCase:
    def test_metadata_stands_at_the_top_too_and_never_replaces_the_fixed_keys(self) -> None:
        case = Case(
            "data", "7", "q", "secret", history=("h",), metadata={"level": 3, "input": "other"}
        )
        message = orjson.loads(encode_case(case, shown_id="shown"))

        assert message == {
            "case_id": "shown",
            "dataset_name": "data",
            "input": "q",
            "history": ["h"],
            "metadata": {"level": 3, "input": "other"},
            "level": 3,
        }

    @given(text=st.text(alphabet=st.characters(codec="utf-8")))
    def test_one_line_whatever_the_text(self, text: str) -> None:
        line = encode_case(Case("data", "1", text, "secret"), shown_id="1")

        assert line.count(b"\n") == 1
        assert line.endswith(b"\n")
        assert orjson.loads(line)["input"] == text
