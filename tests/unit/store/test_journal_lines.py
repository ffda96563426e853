"""One line of a journal: sealed, checked, and readable whatever an agent answered."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from pacabench.model import JSON, CaseResult
from pacabench.store.lines import VERSION, durable_of, encode, is_whole, seal, version_of
from pacabench.testing.records import fake_result

RESULT: TypeAdapter[CaseResult] = TypeAdapter(CaseResult)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=20,
)


def nested(levels: int) -> JSON:
    value: JSON = "core"
    for _ in range(levels):
        value = [value]
    return value


class TestSeal:
    def test_is_one_line_of_json_that_other_tools_can_read(self) -> None:
        line = seal("result", b'{"a":1}', 4096)
        body = orjson.loads(line)
        assert body.pop("crc") == line[8:16].decode()
        assert body == {"v": VERSION, "durable": 4096, "result": {"a": 1}}
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1

    def test_says_its_version_and_what_was_durable(self) -> None:
        line = seal("call", b'{"durable":1,"v":2}', 77)
        assert (version_of(line), durable_of(line)) == (VERSION, 77)

    def test_reads_versions_of_more_digits(self) -> None:
        line = seal("call", b"{}", 5).replace(b'"v":1,', b'"v":12,')
        assert version_of(line) == 12


class TestIsWhole:
    @given(st.data())
    def test_no_changed_byte_goes_unseen(self, data: st.DataObject) -> None:
        line = bytearray(seal("result", b'{"answer":"forty-two"}', 0))
        place = data.draw(st.integers(0, len(line) - 1))
        line[place] ^= data.draw(st.integers(1, 255))
        assert not is_whole(bytes(line))

    @given(st.integers(min_value=0))
    def test_no_beginning_of_a_line_is_whole(self, length: int) -> None:
        line = seal("result", b'{"answer":"forty-two"}', 0)
        assert not is_whole(line[: length % len(line)])

    def test_the_line_itself_is(self) -> None:
        assert is_whole(seal("result", b"{}", 0))


class TestEncode:
    @given(json_values)
    def test_whatever_was_answered_can_be_read_again(self, output: JSON) -> None:
        line = encode(fake_result(output=output))
        assert RESULT.validate_json(line).outcome == "passed"
        orjson.loads(line)

    @pytest.mark.parametrize("output", ["plain", 1.5, None, {"a": [1, {"b": None}]}, [[]] * 500])
    def test_plain_values_come_back_as_they_were(self, output: JSON) -> None:
        assert RESULT.validate_json(encode(fake_result(output=output))).output == output

    def test_a_lone_surrogate_becomes_an_escape(self) -> None:
        result = RESULT.validate_json(encode(fake_result(output={"a\ud800": "b\udfff"})))
        assert result.output == {"a\\ud800": "b\\udfff"}

    def test_an_integer_beyond_64_bits_becomes_digits(self) -> None:
        assert RESULT.validate_json(encode(fake_result(output=2**64))).output == hex(2**64)

    def test_an_integer_too_long_for_decimal_digits_too(self) -> None:
        result = RESULT.validate_json(encode(fake_result(output=10**6000)))
        assert result.output == hex(10**6000)

    def test_not_a_number_becomes_null(self) -> None:
        assert RESULT.validate_json(encode(fake_result(output=float("nan")))).output is None

    @pytest.mark.parametrize("levels", [99, 180, 250, 300, 900])
    def test_deep_nesting_never_makes_a_line_that_cannot_be_read(self, levels: int) -> None:
        output = RESULT.validate_json(encode(fake_result(output=nested(levels)))).output
        depth = 0
        while isinstance(output, list):
            output, depth = output[0], depth + 1
        assert depth == levels or "levels deep" in output
        assert depth >= 98

    def test_wide_answers_are_kept_whole(self) -> None:
        wide = [{"n": [n]} for n in range(5000)]
        assert RESULT.validate_json(encode(fake_result(output=wide))).output == wide
