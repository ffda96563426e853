"""A journal as a run leaves it, cut at every byte and with every byte flipped.

What may come of it: all that was written, a shorter journal that says how
much of it is gone, or an error that names file and line. Never another record.
"""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacabench.errors import JournalError
from pacabench.model import Outcome
from pacabench.store import RunStore, load_run
from pacabench.store.reader import read_results
from pacabench.testing.records import fake_key, fake_manifest, fake_metered, fake_result

NAME = "results.jsonl"
"""Every file has the same reader; the others take part where whole directories are opened."""


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that ended in good order: three attempts with a call each, one result at a time."""

    async def fill(store: RunStore) -> None:
        for number, outcome in enumerate((Outcome.PASSED, Outcome.FAILED, Outcome.TIMEOUT)):
            result = fake_result(fake_key(f"case-{number}"), outcome, output="größer\n\0")
            store.append_call(fake_metered(result, raw_usage={"prompt_tokens": 10}))
            await store.append_result(result)

    runs = tmp_path_factory.mktemp("runs")
    with RunStore.create(runs, fake_manifest(), "") as store:
        store.begin_session()
        asyncio.run(fill(store))
        store.end_session("finished")
    return store.run_dir


def lines_in(content: bytes) -> list[int]:
    """Where each line ends."""
    return [match.end() for match in re.finditer(rb"\n", content)]


def flips(content: bytes) -> Iterator[tuple[int, bytes]]:
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        yield place, bytes(damaged)


def test_cut_anywhere_it_has_the_whole_lines_and_says_what_is_gone(
    run_dir: Path, tmp_path: Path
) -> None:
    content = (run_dir / NAME).read_bytes()
    whole = [record for _, record in read_results(run_dir)]
    ends = lines_in(content)
    for length in range(len(content) + 1):
        (tmp_path / NAME).write_bytes(content[:length])
        reader = read_results(tmp_path, synced=len(content))
        kept = sum(end <= length for end in ends)
        assert [record for _, record in reader] == whole[:kept]
        assert reader.missing == len(content) - ([0, *ends][kept])


def test_with_any_end_of_zeroes_too(run_dir: Path, tmp_path: Path) -> None:
    content = (run_dir / NAME).read_bytes()
    whole = [record for _, record in read_results(run_dir)]
    ends = lines_in(content)
    for length in range(len(content)):
        (tmp_path / NAME).write_bytes(content[:length] + b"\0" * (len(content) - length))
        reader = read_results(tmp_path, synced=len(content))
        kept = sum(end <= length for end in ends)
        assert [record for _, record in reader] == whole[:kept]
        assert reader.missing == len(content) - ([0, *ends][kept])


def test_a_flipped_byte_anywhere_is_named_or_is_the_end_that_is_said_to_be_missing(
    run_dir: Path, tmp_path: Path
) -> None:
    content = (run_dir / NAME).read_bytes()
    whole = [record for _, record in read_results(run_dir)]
    ends = lines_in(content)
    for place, damaged in flips(content):
        line = sum(end <= place for end in ends)
        (tmp_path / NAME).write_bytes(damaged)
        reader = read_results(tmp_path, synced=len(content))
        start = [0, *ends][line]
        if line < len(ends) - 1:
            named = rf"{NAME} line {line + 1} \(byte {start}\) is damaged"
            with pytest.raises(JournalError, match=named):
                list(reader)
        else:
            assert [record for _, record in reader] == whole[:line]
            assert reader.missing == len(content) - start


@pytest.mark.parametrize("name", ["results.jsonl", "calls.jsonl"])
def test_opening_changes_nothing_where_it_is_damaged_and_keeps_what_it_cuts(
    run_dir: Path, tmp_path: Path, name: str
) -> None:
    """Every 61st byte: here whole directories are opened, repaired and opened again."""
    content = (run_dir / name).read_bytes()
    for place in range(0, len(content), 61):
        copy = tmp_path / f"{place}"
        copy.mkdir()
        for file in run_dir.iterdir():
            if file.is_file():
                (copy / file.name).write_bytes(file.read_bytes())
        damaged = bytearray(content)
        damaged[place] ^= 0x10
        (copy / name).write_bytes(damaged)
        try:
            store = RunStore.open(copy)
        except JournalError:
            assert (copy / name).read_bytes() == damaged
            assert not list(copy.glob("*.cut-*"))
            continue
        store.close()
        (cut,) = copy.glob("*.cut-*")
        assert (copy / name).read_bytes() + cut.read_bytes() == damaged
        assert any(cut.name in text for text in store.repairs)
        assert any("missing" in text for text in store.repairs)
        assert len(list(load_run(copy).results())) == len(store.results)
