"""What was said in calls is kept, bounded, and survives a writer that was killed."""

from pathlib import Path

import pytest
from decks import an_exchange
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pacabench import capture
from pacabench.capture import Capture
from pacabench.errors import JournalError
from pacabench.events import Event, Notice
from pacabench.proxy.exchange import Frame
from pacabench.store import bodies as stored
from pacabench.store.bodies import BODIES, Body, BodyStore, CallBodies, read_bodies
from pacabench.store.journal import Journal


def said(call_id: str, text: str = "hi") -> CallBodies:
    return CallBodies(call_id, Body(text, len(text), len(text)), None)


def keep(run_dir: Path, *given: CallBodies) -> None:
    store = BodyStore(run_dir)
    for each in given:
        store.add(each)
    store.close()


def test_bodies_are_found_by_their_calls(tmp_path: Path) -> None:
    assert read_bodies(tmp_path, {"c1"}) is None
    keep(tmp_path, said("c1", "one"), said("c2"))
    keep(tmp_path, said("c3", "\x1b[2J\ud800".encode("utf-8", "backslashreplace").decode()))
    found = read_bodies(tmp_path, {"c1", "c3", "c9"})
    assert found is not None
    assert found.keys() == {"c1", "c3"}
    assert found["c1"] == said("c1", "one")


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_cut_at_any_byte_the_whole_ones_stay_and_it_goes_on(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    run_dir = tmp_path_factory.mktemp("run")
    keep(run_dir, said("c1"), said("c2"), said("c3"))
    content = (run_dir / BODIES).read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    (run_dir / BODIES).write_bytes(content[:cut])
    keep(run_dir, said("c4"))
    found = read_bodies(run_dir, {"c1", "c2", "c3", "c4"})
    assert found is not None
    whole = [f"c{number + 1}" for number in range(content[:cut].count(b"\n"))]
    assert sorted(found) == [*whole, "c4"]


@pytest.mark.parametrize(("line", "notes"), [(1, ["line 1 is damaged", "cut"]), (2, ["cut"])])
def test_what_is_cut_off_is_kept_and_said(tmp_path: Path, line: int, notes: list[str]) -> None:
    keep(tmp_path, said("c1"))
    keep(tmp_path, said("c2"), said("c3"))  # these say that the first one is on disk
    lines = (tmp_path / BODIES).read_bytes().splitlines(keepends=True)
    lines[line - 1] = lines[line - 1].replace(b"c", b"C")
    (tmp_path / BODIES).write_bytes(b"".join(lines))
    warned: list[str] = []
    found = read_bodies(tmp_path, {"c1", "c2", "c3"}, warned.append) if line > 1 else {}
    assert found is not None
    assert sorted(found) == ["c1"][: line - 1]
    assert ["after line 1" in text for text in warned] == [True][: line - 1]
    told: list[Event] = []
    with Capture(tmp_path, told.append):
        pass
    (cut,) = tmp_path.glob(f"{BODIES}.cut-*")
    assert (tmp_path / BODIES).read_bytes() == b"".join(lines[: line - 1])
    assert cut.read_bytes() == b"".join(lines[line - 1 :])
    assert all(note in str(event) for note, event in zip(notes, told, strict=True))
    assert cut.name in str(told[-1])


def test_a_run_keeps_so_much_and_notes_what_it_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "MAX_RUN_BYTES", 500)
    monkeypatch.setattr(stored, "_NOTES_BYTES", 500)
    keep(tmp_path, *(said(f"c{number}", "x" * 200) for number in range(100)))
    found = read_bodies(tmp_path, {f"c{number}" for number in range(100)})
    assert found is not None
    assert found["c0"].request is not None
    assert "take 0 MiB already" in str(found["c5"].left_out)
    assert (tmp_path / BODIES).stat().st_size < 2000


def test_a_body_is_kept_to_its_bound_and_says_how_long_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "MAX_BODY_BYTES", 10)
    with Capture(tmp_path, lambda _: None) as it:
        frames = (Frame(1, b"caf\xc3"), Frame(2, b"\xa9 \xff and more"))
        it.keep(an_exchange(request=b"r" * 30, request_bytes=99, frames=frames, reply_bytes=17))
        it.leave_out("c2", "too long")
    found = read_bodies(tmp_path, {"c1", "c2"})
    assert found is not None
    assert found["c1"].request == Body("r" * 10, 10, 99)
    assert found["c1"].response == Body("café \\xff an", 10, 17)
    assert found["c2"].left_out == "too long"


def test_a_full_disk_is_said_once_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Event] = []

    def full(*_: object) -> None:
        raise JournalError("No space left on device.")

    with Capture(tmp_path, told.append) as it:
        monkeypatch.setattr(Journal, "append", full)
        it.keep(an_exchange())
        it.keep(an_exchange())
    assert told == [
        Notice("warning", "bodies of calls are no longer kept: No space left on device.")
    ]
