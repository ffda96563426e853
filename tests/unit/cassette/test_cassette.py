"""Cassettes on disk: whole or not at all, the right recording of a case, nothing from strangers."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from decks import CASE, Deck, an_exchange, zstd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pacabench.cassette import Shelf, index_digest, read_header, start_cassette
from pacabench.cassette.blobs import Blobs
from pacabench.cassette.index import MAX_LINE_BYTES
from pacabench.errors import CassetteError, JournalError
from pacabench.model import CallRecord, CaseKey, Outcome, new_attempt_id
from pacabench.proxy.canonical import outline, request_digest
from pacabench.proxy.exchange import Asked, Exchange, Frame
from pacabench.proxy.record import CallDraft
from pacabench.proxy.upstream import UpstreamError
from pacabench.store.lines import seal

OTHER = CaseKey("solver", "puzzles", "case-2")


@pytest.fixture
def deck(tmp_path: Path) -> Deck:
    return Deck(tmp_path / "cassette")


def sent(attempt: str, call_id: str = "c1") -> CallRecord:
    draft = CallDraft(attempt, "openai", "chat.completions", call_id)
    draft.end, draft.status = "complete", 200
    return draft.record()


def asked(attempt: str, body: bytes = b"{}") -> Asked:
    path = "/openai/chat/completions"
    digest = request_digest("POST", path, (), body)
    return Asked(attempt, digest, f"POST {path}", "m", outline(body))


async def record(
    deck: Deck, *exchanges: Exchange, outcome: Outcome = Outcome.PASSED, key: CaseKey = CASE
) -> None:
    deck.attempt = new_attempt_id(key)
    with deck.recorder(CASE, OTHER) as recorder:
        for exchange in exchanges:
            recorder.keep(replace(exchange, attempt_id=deck.attempt))
        records = [sent(deck.attempt, exchange.call_id) for exchange in exchanges]
        await deck.seal(recorder, records, outcome, key)


def said(text: str, call_id: str = "c1", arrived_us: int = 1) -> Exchange:
    return an_exchange(call_id=call_id, arrived_us=arrived_us, frames=(Frame(1, text.encode()),))


async def answers(deck: Deck, count: int = 1, key: CaseKey = CASE) -> list[bytes]:
    player, attempt = deck.player(), new_attempt_id(key)
    found = [await player.find(asked(attempt)) for _ in range(count)]
    return [it.exchange.reply if it.exchange else it.why.encode() for it in found]


async def test_equal_requests_are_answered_in_the_order_in_which_they_were_asked(
    deck: Deck,
) -> None:
    # They end in another order than they began.
    await record(deck, said("two", "c2", 20), said("one", "c1", 10))
    got = await answers(deck, 3)
    assert got[:2] == [b"one", b"two"]
    assert b"recorded 2 times" in got[2]


async def test_each_attempt_counts_for_itself(deck: Deck) -> None:
    await record(deck, said("one"), said("two", "c2", 2))
    player = deck.player()
    for _ in range(2):
        attempt = new_attempt_id(CASE)
        first = await player.find(asked(attempt))
        assert first.exchange is not None
        assert first.exchange.reply == b"one"


async def test_the_last_attempt_that_infrastructure_did_not_fail_is_the_one_to_play(
    deck: Deck,
) -> None:
    await record(deck, said("cut"), outcome=Outcome.SANDBOX_ERROR)
    assert b"cut short" in (await answers(deck))[0]
    await record(deck, said("busy"), outcome=Outcome.PROVIDER_ERROR)
    assert await answers(deck) == [b"busy"]
    await record(deck, said("wrong"), outcome=Outcome.FAILED)
    assert await answers(deck) == [b"wrong"]
    await record(deck, said("right"), outcome=Outcome.PASSED)
    assert await answers(deck) == [b"right"]
    await record(deck, said("stopped"), outcome=Outcome.CANCELLED)
    await record(deck, said("down"), outcome=Outcome.PROVIDER_ERROR)
    assert await answers(deck) == [b"right"]


async def test_a_case_that_is_not_there_is_said_to_be(deck: Deck) -> None:
    await record(deck, said("one"))
    assert await answers(deck, key=OTHER) == [b"the cassette holds no recording of this case"]


async def test_a_call_that_got_nothing_answers_nothing(deck: Deck) -> None:
    gone = an_exchange(call_id="c1", status=None, ending="left", frames=())
    await record(deck, gone, said("later", "c2", 2))
    assert await answers(deck) == [b"later"]


async def test_new_cases_go_live_and_so_does_one_that_failed_to_match(deck: Deck) -> None:
    await record(deck, said("one"))
    player = deck.player(or_record=True)
    first, other = new_attempt_id(CASE), new_attempt_id(OTHER)
    assert (await player.find(asked(other))).live
    assert player.is_live(other)
    assert not player.is_live(first)
    missed = await player.find(asked(first, b'{"new": 1}'))
    assert missed.exchange is None
    assert not missed.live
    # Never half and half: this attempt stays replayed, the next one is live.
    assert (await player.find(asked(first))).exchange is not None
    assert player.is_live(new_attempt_id(CASE))


async def test_calls_without_an_exchange_are_counted(deck: Deck) -> None:
    with deck.recorder() as recorder:
        recorder.keep(an_exchange(deck.attempt))
        await deck.seal(recorder, [sent(deck.attempt), sent(deck.attempt, "c2")])
        assert (recorder.shelf.calls, recorder.shelf.missing) == (1, 1)


async def test_a_full_disk_stops_the_run_and_says_so(
    deck: Deck, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> str:
        raise JournalError("cannot write: No space left on device.")

    with deck.recorder() as recorder:
        monkeypatch.setattr(Blobs, "put", full)
        recorder.keep(an_exchange(deck.attempt))
        with pytest.raises(JournalError, match="No space left"):
            await deck.seal(recorder, [sent(deck.attempt)])


async def test_while_the_disk_is_behind_nothing_is_kept_and_that_is_counted(
    deck: Deck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacabench.cassette.recorder.MOST_WAITING_BYTES", 3)
    told: list[tuple[str, str]] = []
    with deck.recorder(on_left_out=lambda *it: told.append(it)) as recorder:
        recorder.keep(an_exchange(deck.attempt))
        await deck.seal(recorder, [sent(deck.attempt)])
        assert recorder.shelf.missing == 1
    assert told[0][0] == "c1"


def test_a_second_recording_needs_another_directory(deck: Deck, tmp_path: Path) -> None:
    with deck.recorder():
        pass
    with deck.recorder():  # nothing is in it yet
        pass
    line = seal("entry", orjson.dumps({"call": None, "take": None}), 0)
    (deck.directory / "index.jsonl").write_bytes(line)
    with pytest.raises(CassetteError, match="holds a cassette already"):
        start_cassette(deck.directory, ())
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(CassetteError, match="not empty and no cassette"):
        start_cassette(tmp_path / "full", ())


def test_two_runs_do_not_record_into_one(deck: Deck) -> None:
    with deck.recorder():
        script = f"""
            from pathlib import Path
            from pacabench.cassette import open_cassette
            with open_cassette(Path({str(deck.directory)!r})):
                pass
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, check=False
        )
        assert b"another run is recording into" in done.stderr


async def test_the_digest_tells_cassettes_apart(deck: Deck, tmp_path: Path) -> None:
    await record(deck, said("one"))
    before = index_digest(deck.directory)
    assert before == index_digest(deck.directory)
    await record(deck, said("two"))
    assert index_digest(deck.directory) != before


# A writer that is killed


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
async def test_an_index_cut_at_any_byte_has_whole_cases_and_goes_on(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    deck = Deck(tmp_path_factory.mktemp("deck") / "cassette")
    await record(deck, said("one"), said("two", "c2", 2))
    await record(deck, said("other"), key=OTHER)
    index = deck.directory / "index.jsonl"
    content = index.read_bytes()
    cut = data.draw(st.integers(0, len(content) - 1))
    index.write_bytes(content[:cut])
    (deck.directory / "blobs" / ".draft-dead").write_bytes(b"half")
    lines = content[:cut].count(b"\n")
    if lines < 3:
        assert (await answers(deck))[0] not in {b"one", b"two"}
    else:
        assert await answers(deck, 2) == [b"one", b"two"]
    await record(deck, said("one"), said("two", "c2", 2))
    await record(deck, said("other"), key=OTHER)
    assert await answers(deck, 2) == [b"one", b"two"]
    assert await answers(deck, key=OTHER) == [b"other"]
    assert not list((deck.directory / "blobs").glob(".draft*"))


# Cassettes from strangers

Harm = Callable[[Path], None]


def _blob(directory: Path) -> Path:
    (blob,) = (directory / "blobs").iterdir()
    return blob


def bomb(directory: Path) -> None:
    _blob(directory).write_bytes(zstd.compress(bytes(2**28)))


def wide_window(directory: Path) -> None:
    names = zstd.CompressionParameter
    wide = {names.window_log: 30, names.enable_long_distance_matching: 1}
    packer = zstd.ZstdCompressor(options=wide)
    _blob(directory).write_bytes(packer.compress(bytes(2**20)) + packer.flush())


def other_content(directory: Path) -> None:
    """As long as the right one, so that only its hash tells."""
    content = zstd.decompress(_blob(directory).read_bytes())
    assert content.endswith(b"one")
    _blob(directory).write_bytes(zstd.compress(content[:-3] + b"lie"))


def no_zstd(directory: Path) -> None:
    _blob(directory).write_bytes(b"no zstd at all")


def one_bit(directory: Path) -> None:
    content = bytearray(_blob(directory).read_bytes())
    content[-6] ^= 1
    _blob(directory).write_bytes(content)


def link(directory: Path) -> None:
    blob = _blob(directory)
    blob.rename(directory / "elsewhere")
    blob.symlink_to(directory / "elsewhere")


def fifo(directory: Path) -> None:
    _blob(directory).unlink()
    os.mkfifo(_blob_name(directory))


def _blob_name(directory: Path) -> Path:
    line = orjson.loads((directory / "index.jsonl").read_bytes().split(b"\n")[0])
    return directory / "blobs" / f"{line['entry']['call']['blob']}.zst"


def missing(directory: Path) -> None:
    _blob(directory).unlink()


def huge(directory: Path) -> None:
    os.truncate(_blob(directory), 2**40)


@pytest.mark.parametrize(
    "harm", [bomb, wide_window, other_content, no_zstd, one_bit, link, fifo, missing, huge]
)
async def test_a_hostile_blob_is_an_error_of_its_case_and_takes_no_memory(
    deck: Deck, harm: Harm
) -> None:
    await record(deck, said("one"))
    harm(deck.directory)
    with pytest.raises(UpstreamError, match="the cassette cannot be used"):
        await deck.player().find(asked(new_attempt_id(CASE)))


def forged(**changes: object) -> Harm:
    def forge(directory: Path) -> None:
        index = directory / "index.jsonl"
        first, *rest = index.read_bytes().splitlines(keepends=True)
        entry = orjson.loads(first)["entry"]
        entry["call"].update(changes)
        index.write_bytes(seal("entry", orjson.dumps(entry), 0) + b"".join(rest))

    return forge


def flipped(directory: Path) -> None:
    content = bytearray((directory / "index.jsonl").read_bytes())
    content[40] ^= 1
    (directory / "index.jsonl").write_bytes(content)


def long_line(directory: Path) -> None:
    line = seal("entry", orjson.dumps({"call": None, "x": "x" * MAX_LINE_BYTES}), 0)
    (directory / "index.jsonl").write_bytes(line * 2)


def sparse(directory: Path) -> None:
    os.truncate(directory / "index.jsonl", 2**40)


def index_is_link(directory: Path) -> None:
    (directory / "index.jsonl").rename(directory / "other")
    (directory / "index.jsonl").symlink_to("other")


def blobs_are_elsewhere(directory: Path) -> None:
    (directory / "blobs").rename(directory / "other")
    (directory / "blobs").symlink_to("other")


def newer(directory: Path) -> None:
    header = orjson.loads((directory / "cassette.json").read_bytes())
    (directory / "cassette.json").write_bytes(orjson.dumps(header | {"version": 2}))


def no_header(directory: Path) -> None:
    (directory / "cassette.json").write_bytes(b"[]")


def long_header(directory: Path) -> None:
    os.truncate(directory / "cassette.json", 2**40)


def open_all(directory: Path) -> None:
    read_header(directory)
    Shelf.read(directory)


@pytest.mark.parametrize(
    ("harm", "word"),
    [
        (forged(blob="../../../../etc/passwd"), "pattern"),
        (forged(blob="a" * 63 + "/"), "pattern"),
        (forged(request="x" * 32), "pattern"),
        (forged(size_bytes=-1), "greater than or equal"),
        (forged(arrived_us=2**60), "less than"),
        (forged(attempt_id="a" * 2000), "at most 1000"),
        (flipped, "damaged"),
        (long_line, "damaged"),
        (sparse, "longer than"),
        (index_is_link, "is a link"),
        (blobs_are_elsewhere, "is a link"),
        (newer, "of version 2"),
        (no_header, "not understood"),
        (long_header, "larger than"),
    ],
)
async def test_a_hostile_index_or_header_is_refused_before_anything_runs(
    deck: Deck, harm: Harm, word: str
) -> None:
    await record(deck, said("one"))
    harm(deck.directory)
    with pytest.raises(CassetteError, match=word):
        open_all(deck.directory)


async def test_a_size_that_is_said_and_is_not_so_is_an_error(deck: Deck) -> None:
    await record(deck, said("one"))
    forged(size_bytes=2**40)(deck.directory)
    with pytest.raises(UpstreamError, match="longer than an exchange"):
        await deck.player().find(asked(new_attempt_id(CASE)))


def test_what_is_no_cassette_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, what in {
        "": "it has no cassette.json. Name the directory",
        "missing": "there is no such directory. `pacabench run --record DIR` makes one",
        "file": "it is a file",
    }.items():
        with pytest.raises(CassetteError, match=f"is no cassette: {what}"):
            read_header(tmp_path / name)


def test_none_is_begun_where_a_file_lies(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CassetteError, match="is a file, not a directory: name a new one"):
        start_cassette(tmp_path / "file", ())
