"""Reading a journal file that was cut, torn, zeroed or damaged."""

import contextlib
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacabench.errors import JournalError
from pacabench.store.lines import encode, seal
from pacabench.store.reader import RESULTS, read_calls, read_results
from pacabench.testing.records import fake_key, fake_metered, fake_result

COUNT = 6


def batch_of_lines(*, batch: int = 1) -> list[bytes]:
    """Lines as a writer makes them that syncs after every ``batch`` of them."""
    lines: list[bytes] = []
    durable = 0
    for number in range(COUNT):
        if number % batch == 0:
            durable = sum(map(len, lines))
        result = fake_result(fake_key(f"case-{number}"), attempt_id=f"{number:016x}-{number:08x}")
        lines.append(seal("result", encode(result), durable))
    return lines


LINES = batch_of_lines()
CONTENT = b"".join(LINES)


def write(folder: str | Path, content: bytes) -> Path:
    path = Path(folder) / RESULTS
    path.write_bytes(content)
    return path.parent


def case_ids(run_dir: Path, *, synced: int = 0) -> list[str]:
    return [result.key.case_id for _, result in read_results(run_dir, synced=synced)]


def ids(numbers: Sequence[int]) -> list[str]:
    return [f"case-{number}" for number in numbers]


class TestWholeLines:
    def test_come_with_their_offsets_and_can_be_read_again_singly(self, tmp_path: Path) -> None:
        reader = read_results(write(tmp_path, CONTENT))
        places = {result.key.case_id: place for place, result in reader}
        assert list(places) == ids(range(COUNT))
        again = reader.at([places["case-4"], places["case-1"]])
        assert [result.key.case_id for result in again] == ["case-4", "case-1"]
        assert (reader.end, reader.whole_lines) == (len(CONTENT), COUNT)

    def test_an_empty_file_has_none(self, tmp_path: Path) -> None:
        assert case_ids(write(tmp_path, b"")) == []

    def test_calls_come_back_as_they_were(self, tmp_path: Path) -> None:
        call = fake_metered(fake_result(), raw_usage={"prompt_tokens": 10}, error="é")
        (tmp_path / "calls.jsonl").write_bytes(seal("call", encode(call), 0))
        assert [read for _, read in read_calls(tmp_path)] == [call]

    def test_what_is_appended_meanwhile_is_left_for_the_next_reader(self, tmp_path: Path) -> None:
        run_dir = write(tmp_path, CONTENT + LINES[0][:10])
        seen = []
        for _, result in read_results(run_dir):
            seen.append(result.key.case_id)
            if len(seen) == 1:  # the writer finishes its line and goes on
                with (run_dir / RESULTS).open("ab") as file:
                    file.write(LINES[0][10:] + LINES[1])
        assert seen == ids(range(COUNT))


class TestTornTail:
    @given(st.integers(0, len(CONTENT)))
    def test_a_cut_anywhere_leaves_exactly_the_whole_lines(self, length: int) -> None:
        whole = len([n for n in range(1, COUNT + 1) if len(b"".join(LINES[:n])) <= length])
        with TemporaryDirectory() as folder:
            run_dir = write(folder, CONTENT[:length])
            reader = read_results(run_dir, synced=len(CONTENT))
            assert [result.key.case_id for _, result in reader] == ids(range(whole))
            assert (reader.end, reader.size) == (len(b"".join(LINES[:whole])), length)

    @given(st.integers(0, len(CONTENT) - 1), st.sampled_from([b"\0", b"\n", b"}\n", b"x"]))
    def test_a_tail_of_zeroes_or_rubbish_is_passed_over(self, place: int, byte: bytes) -> None:
        content = CONTENT[:place] + (byte * len(CONTENT))[: len(CONTENT) - place]
        whole = len([n for n in range(1, COUNT + 1) if content.startswith(b"".join(LINES[:n]))])
        with TemporaryDirectory() as folder:
            run_dir = write(folder, content)
            assert case_ids(run_dir, synced=len(CONTENT)) == ids(range(whole))

    def test_a_batch_that_was_never_synced_is_cut_at_its_first_bad_line(
        self, tmp_path: Path
    ) -> None:
        lines = batch_of_lines(batch=3)  # lines 4 to 6 were on their way when the power went
        lines[3] = b"\0" * len(lines[3])
        assert case_ids(write(tmp_path, b"".join(lines))) == ids(range(3))


class TestDamageInTheMiddle:
    @given(st.data())
    def test_a_flipped_byte_is_named_by_file_and_line(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(0, COUNT - 2))
        start = len(b"".join(LINES[:number]))
        place = data.draw(st.integers(start, start + len(LINES[number]) - 2))
        content = bytearray(CONTENT)
        content[place] ^= data.draw(st.integers(1, 255))
        with TemporaryDirectory() as folder:
            run_dir = write(folder, bytes(content))
            with pytest.raises(JournalError, match=rf"results\.jsonl line {number + 1} ") as raised:
                case_ids(run_dir)
            assert "damaged" in str(raised.value)

    def test_a_lost_newline_is_found(self, tmp_path: Path) -> None:
        content = CONTENT.replace(b"\n", b" ", 1)
        with pytest.raises(JournalError, match="line 1 "):
            case_ids(write(tmp_path, content))

    def test_in_one_batch_the_manifest_knows_that_it_had_counted(self, tmp_path: Path) -> None:
        lines = batch_of_lines(batch=COUNT)
        damaged = lines[1].replace(b"case-1", b"case-9")
        run_dir = write(tmp_path, b"".join([lines[0], damaged, *lines[2:]]))
        assert case_ids(run_dir) == ["case-0"]
        with pytest.raises(JournalError, match="line 2 "):
            case_ids(run_dir, synced=len(CONTENT))

    def test_is_found_by_whoever_reads_a_single_line(self, tmp_path: Path) -> None:
        reader = read_results(write(tmp_path, CONTENT.replace(b"case-0", b"case-9", 1)))
        with pytest.raises(JournalError, match="byte 0"):
            list(reader.at([0]))


class TestWhatIsNoJournal:
    def test_a_line_of_a_newer_version_says_to_update(self, tmp_path: Path) -> None:
        body = LINES[0][18:-1].replace(b'"v":1,', b'"v":2,')
        line = b'{"crc":"%08x",%s\n' % (zlib.crc32(body), body)
        with pytest.raises(JournalError, match="newer"):
            case_ids(write(tmp_path, line))

    def test_a_sound_line_that_is_no_result_is_named(self, tmp_path: Path) -> None:
        run_dir = write(tmp_path, LINES[0] + seal("result", b'{"key":1}', 0))
        with pytest.raises(JournalError, match=r"line 2 is no record .*`\$\.result\.key`"):
            case_ids(run_dir)

    def test_a_symbolic_link_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").write_bytes(CONTENT)
        (tmp_path / RESULTS).symlink_to("elsewhere")
        with pytest.raises(JournalError, match="symbolic link"):
            case_ids(tmp_path)

    def test_a_fifo_is_refused_and_does_not_block(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / RESULTS)
        with pytest.raises(JournalError, match="no regular file"):
            case_ids(tmp_path)

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(JournalError, match=r"results\.jsonl: No such file"):
            case_ids(tmp_path)


class TestAnyBytes:
    @given(
        st.lists(
            st.binary(max_size=60)
            | st.sampled_from([*LINES, b"\n", b"\0" * 40])
            | st.builds(
                seal,
                st.sampled_from(["result", "call", "x"]),
                st.binary(max_size=40) | st.sampled_from([b"{}", b"[]", b"[" * 5000, b"1e999"]),
                st.integers(0, 2**70),
            ),
            max_size=8,
        ),
        st.integers(0, 5000),
    )
    def test_are_records_or_a_journal_error(self, pieces: list[bytes], synced: int) -> None:
        with TemporaryDirectory() as folder:
            run_dir = write(folder, b"".join(pieces))
            reader = read_results(run_dir, synced=synced)
            with contextlib.suppress(JournalError):
                whole = [result for _, result in reader]
                assert all(result.key.case_id in ids(range(COUNT)) for result in whole)
                assert reader.end <= reader.size
