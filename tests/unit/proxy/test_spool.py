"""Calls on disk, cut off anywhere."""

import os
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacabench.proxy.spool import Spool, parse_spool, read_spool
from pacabench.testing import fake_call


def begun(call_id: str) -> object:
    return fake_call(call_id=call_id, end="interrupted", usage=None, usage_source="none")


def write(path: Path) -> None:
    spool = Spool(path)
    spool.begin(begun("one"))
    spool.begin(begun("two"))
    spool.end(fake_call(call_id="one"))
    spool.end(fake_call(call_id="denied", end="denied"))
    spool.close()


class TestReading:
    def test_a_call_that_ended_is_there_once_and_one_that_did_not_is_interrupted(
        self, tmp_path: Path
    ) -> None:
        write(tmp_path / "spool")
        assert read_spool(tmp_path / "spool") == [
            fake_call(call_id="one"),
            begun("two"),
            fake_call(call_id="denied", end="denied"),
        ]

    def test_no_file_is_no_calls(self, tmp_path: Path) -> None:
        assert read_spool(tmp_path / "none") == []

    def test_an_end_counts_even_where_its_begin_comes_later(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path / "spool")
        spool.end(fake_call(call_id="one"))
        spool.begin(begun("one"))
        assert read_spool(tmp_path / "spool") == [fake_call(call_id="one")]

    def test_cut_at_any_byte_the_whole_lines_are_read(self, tmp_path: Path) -> None:
        write(tmp_path / "spool")
        content = (tmp_path / "spool").read_bytes()
        for size in range(len(content) + 1):
            # A line is whole as soon as its last brace is there.
            whole = (content[:size] + b"\n").count(b"}}\n")
            assert len(parse_spool(content[:size])) == [0, 1, 2, 2, 3][whole]

    @given(st.binary(max_size=100))
    def test_garbage_between_lines_does_not_hide_them(self, garbage: bytes) -> None:
        line = orjson.dumps({"end": fake_call(call_id="one")})
        found = parse_spool(garbage + b"\n" + line + b"\n" + garbage)
        assert fake_call(call_id="one") in found

    @pytest.mark.parametrize(
        "line", [b"{}", b"[]", b"null", b'{"end":{}}', b'{"begin":[1]}', b'{"end":{"usage":1}}']
    )
    def test_lines_that_are_no_entry_are_passed_over(self, line: bytes) -> None:
        assert parse_spool(line) == []


class TestWriting:
    def test_a_torn_line_spoils_no_other(self, tmp_path: Path) -> None:
        path = tmp_path / "spool"
        write(path)
        os.truncate(path, path.stat().st_size - 20)
        spool = Spool(path)
        spool.end(fake_call(call_id="later"))
        spool.close()
        assert [call.call_id for call in read_spool(path)] == ["one", "two", "later"]

    def test_a_full_disk_is_said(self) -> None:
        spool = Spool("/dev/full")
        with pytest.raises(OSError, match="No space left"):
            spool.end(fake_call())

    def test_it_belongs_to_its_user_alone(self, tmp_path: Path) -> None:
        Spool(tmp_path / "spool").close()
        assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o600

    def test_a_line_is_on_disk_when_the_call_returns(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path / "spool")
        spool.end(replace(fake_call(), call_id="x"))
        assert len(read_spool(tmp_path / "spool")) == 1
