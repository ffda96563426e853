"""Messages to and from agents; what comes from them is hostile."""

import json

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

    @pytest.mark.parametrize("number", [2**63, 2**64 - 1, 2**64, -(2**63) - 1, -(10**30), 10**308])
    def test_an_integer_of_any_size_stays_that_integer(self, number: int) -> None:
        for output in (number, [number, 1.5], {"n": [number]}):
            answer = parse_answer(json.dumps({"output": output}).encode())

            assert answer is not None
            assert answer.output == output

    @given(
        head=st.sampled_from([b'{"output":', b'{"error":', b"{", b""]),
        middle=st.binary(max_size=80) | st.text(max_size=40).map(str.encode),
        tail=st.sampled_from([b"}", b"]}", b""]),
        digits=st.integers(0, 400),
    )
    def test_what_is_nearly_an_answer_is_one_or_log(
        self, head: bytes, middle: bytes, tail: bytes, digits: int
    ) -> None:
        line = head + middle + b"1" * digits + tail
        answer = parse_answer(line)

        if answer is not None:
            assert isinstance(json.loads(line), dict)
            assert answer.error is None or isinstance(answer.error, str)

    def test_an_error_alone_is_an_answer(self) -> None:
        answer = parse_answer(b'{"error": "out of ideas"}')

        assert answer is not None
        assert answer.error == "out of ideas"

    def test_an_error_that_is_no_text_is_shown_as_json(self) -> None:
        answer = parse_answer(b'{"output": 1, "error": {"code": 7}}')

        assert answer is not None
        assert answer.error == '{"code":7}'

    @pytest.mark.parametrize("levels", [10, 254, 255, 500, 900, 1023, 1024, 5000])
    def test_one_that_is_nested_as_deeply_as_can_be_read_hurts_nobody(self, levels: int) -> None:
        line = b'{"error": ' + b"[" * levels + b"]" * levels + b', "output": 1}'
        for text in (line, line.replace(b'"output": 1', b'"output": %d' % 2**64)):
            answer = parse_answer(text)
            assert answer is None or answer.error

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
