"""Each invariant can fail: a whole run with one thing done to it, and what the checker says."""

import copy
import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import docker
import pytest

from faults.engines import Engine
from faults.episode import Episode, Ground
from faults.invariants import Facts, Memory, check_run
from faults.provider import Served, open_books

RESULTS, CALLS = "results.jsonl", "calls.jsonl"
EMPTY_TAR = bytes(10240)
Change = Callable[[dict[str, Any]], None]


def seal(kind: str, record: Mapping[str, Any]) -> bytes:
    """A line as ``docs/journal.md`` describes it."""
    body = b'"v":1,"durable":0,"%s":%s}' % (kind.encode(), json.dumps(record).encode())
    return b'{"crc":"%08x",%s\n' % (zlib.crc32(body), body)


@dataclass
class Run:
    """A run that came to its end, on disk, with all that the checker is given besides."""

    path: Path
    exported: dict[str, Any]
    books: dict[int, Served]
    facts: Facts

    def records(self, name: str) -> list[dict[str, Any]]:
        lines = (self.path / name).read_bytes().splitlines()
        return [json.loads(line)[name.removesuffix("s.jsonl")] for line in lines]

    def write(self, name: str, records: list[dict[str, Any]]) -> None:
        kind = name.removesuffix("s.jsonl")
        (self.path / name).write_bytes(b"".join(seal(kind, record) for record in records))

    def change(self, name: str, change: Change, place: int = 0) -> None:
        records = self.records(name)
        change(records[place])
        self.write(name, records)

    def wrong(self) -> str:
        """What the checker finds, as one text."""
        return "\n".join(check_run(self.path, self.exported, self.books, self.facts)[1])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = tmp_path_factory.mktemp("whole")
    ground = Ground(path, None, path / "cache", cases=4, concurrency=2)
    with open_books() as books:
        episode = Episode("whole", [], ground, books)
        assert episode.play().violations == []
        facts = copy.deepcopy(episode._facts)
        return Run(path / "whole/runs/whole", episode._export(), books.served(), facts)


@pytest.fixture
def run(whole: Run, tmp_path: Path) -> Run:
    shutil.copytree(whole.path, tmp_path / "run")
    rest = copy.deepcopy((whole.exported, whole.books, whole.facts))
    return Run(tmp_path / "run", *rest)


def test_a_whole_run_has_nothing_wrong(run: Run) -> None:
    assert run.wrong() == ""
    for name in (RESULTS, CALLS):
        run.write(name, run.records(name))
    assert run.wrong() == ""  # so nothing of what follows is found for the way it is written


class TestResults:
    def test_a_lost_result_is_a_case_without_one_and_a_broken_word(self, run: Run) -> None:
        lost, *rest = run.records(RESULTS)
        run.write(RESULTS, rest)
        assert f"case {lost['key']['case_id']}: attempts ended []" in run.wrong()
        assert f"attempt {lost['attempt_id']} was said to be {lost['outcome']}: None" in run.wrong()

    def test_a_result_twice(self, run: Run) -> None:
        results = run.records(RESULTS)
        run.write(RESULTS, [*results, results[0]])
        assert f"attempt {results[0]['attempt_id']} has 2 results" in run.wrong()
        assert "attempts ended ['" in run.wrong()  # and two of them decide

    def test_a_case_that_was_decided_twice(self, run: Run) -> None:
        results = run.records(RESULTS)
        run.write(RESULTS, [*results, {**results[0], "attempt_id": "another"}])
        assert f"case {results[0]['key']['case_id']}: attempts ended ['" in run.wrong()

    def test_a_deciding_attempt_that_is_not_the_last(self, run: Run) -> None:
        results = run.records(RESULTS)
        later = {**results[0], "attempt_id": "another", "outcome": "sandbox_error"}
        run.write(RESULTS, [*results, later])
        assert f"case {results[0]['key']['case_id']}: attempts ended" in run.wrong()

    def test_another_outcome(self, run: Run) -> None:
        place = [one["outcome"] for one in run.records(RESULTS)].index("passed")
        run.change(RESULTS, lambda record: record.update(outcome="failed"), place)
        assert "failed, should be passed" in run.wrong()
        assert "was said to be passed: failed" in run.wrong()

    def test_an_agent_that_nobody_killed_is_to_blame_for_nothing(self, run: Run) -> None:
        record = run.records(RESULTS)[0]
        run.facts.reported[record["attempt_id"]] = "agent_error"
        run.change(RESULTS, lambda record: record.update(outcome="agent_error"))
        assert "nobody killed that agent" in run.wrong()
        run.facts.agents_killed.add(record["attempt_id"])
        assert "agent" not in run.wrong()

    def test_a_case_that_was_never_planned(self, run: Run) -> None:
        results = run.records(RESULTS)
        key = {**results[0]["key"], "case_id": "c99"}
        run.write(RESULTS, [*results, {**results[0], "attempt_id": "another", "key": key}])
        assert "case c99 was never planned" in run.wrong()


class TestBooks:
    def test_a_lost_call(self, run: Run) -> None:
        lost, *rest = run.records(CALLS)
        run.write(CALLS, rest)
        assert f"case {lost['key']['case_id']}: billed and not on record" in run.wrong()

    def test_a_call_twice(self, run: Run) -> None:
        calls = run.records(CALLS)
        run.write(CALLS, [*calls, calls[0]])
        assert f"call {calls[0]['call']['call_id']} is on record 2 times" in run.wrong()

    def test_a_call_twice_under_another_id(self, run: Run) -> None:
        calls = run.records(CALLS)
        again = {**calls[0], "call": {**calls[0]["call"], "call_id": "another"}}
        run.write(CALLS, [*calls, again])
        assert "is not in the books, or twice on record" in run.wrong()

    @pytest.mark.parametrize(
        "part", ["input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens"]
    )
    def test_a_token_more(self, run: Run, part: str) -> None:
        def add(record: dict[str, Any]) -> None:
            record["call"]["usage"][part] += 1

        run.change(CALLS, add)
        assert "in the books" in run.wrong()

    def test_the_call_of_another_case(self, run: Run) -> None:
        def move(record: dict[str, Any]) -> None:
            record["key"]["case_id"] = "c1" if record["key"]["case_id"] != "c1" else "c2"

        run.change(CALLS, move)
        assert "on record, in the books" in run.wrong()

    def test_a_call_without_tokens_that_nothing_explains(self, run: Run) -> None:
        def forget(record: dict[str, Any]) -> None:
            record["call"].update(usage=None, usage_source="none")

        run.change(CALLS, forget)
        assert "a call ended complete with unknown tokens" in run.wrong()
        assert "billed and not on record" in run.wrong()

    def test_more_marks_than_calls_can_have_been_under_way(self, run: Run) -> None:
        run.change(CALLS, cut_off)
        run.change(CALLS, cut_off, place=1)
        run.facts.in_flight_most = 1
        assert "2 calls are marked as under way at a kill; 1 can have been" in run.wrong()
        run.facts.in_flight_most = 2
        assert "marked" not in run.wrong()

    def test_one_mark_stands_for_one_call(self, run: Run) -> None:
        calls = run.records(CALLS)
        first = calls[0]["key"]["case_id"]
        mine = [place for place, call in enumerate(calls) if call["key"]["case_id"] == first]
        cut_off(calls[mine[0]])
        run.write(CALLS, [call for place, call in enumerate(calls) if place != mine[1]])
        run.facts.in_flight_most = 2
        assert f"case {first}: billed and not on record" in run.wrong()

    def test_a_call_that_was_billed_and_never_heard_of(self, run: Run) -> None:
        some = next(iter(run.books.values()))
        unheard = replace(some.tokens, prompt=some.tokens.prompt + 500)
        run.books[500] = replace(some, tokens=unheard)
        assert f"case {some.case_id}: billed and not on record" in run.wrong()


def cut_off(record: dict[str, Any]) -> None:
    """Mark a call as under way at a kill."""
    record["call"].update(usage=None, usage_source="none", end="interrupted", status=None)


class TestFiles:
    @pytest.mark.parametrize("name", [RESULTS, CALLS])
    def test_a_torn_end_that_was_not_cut(self, run: Run, name: str) -> None:
        with (run.path / name).open("ab") as file:
            file.write(b'{"crc":"00')
        assert f"{name}: 10 bytes at its end are no whole line" in run.wrong()

    def test_a_flipped_bit_hides_whatever_follows(self, run: Run) -> None:
        content = bytearray((run.path / RESULTS).read_bytes())
        content[len(content) // 2] ^= 1
        (run.path / RESULTS).write_bytes(content)
        assert "are no whole line" in run.wrong()

    def test_a_run_that_is_not_finished(self, run: Run) -> None:
        manifest = json.loads((run.path / "run.json").read_text())
        (run.path / "run.json").write_text(json.dumps({**manifest, "status": "running"}))
        assert "the run is running" in run.wrong()

    def test_notes_that_were_not_taken_over(self, run: Run) -> None:
        (run.path / "spool").mkdir(exist_ok=True)
        (run.path / "spool" / "docker-1").touch()
        assert "left in spool/: ['docker-1']" in run.wrong()

    @pytest.mark.parametrize(
        "name",
        [
            "cases",
            "passed",
            "infrastructure",
            "calls",
            "input_tokens",
            "output_tokens",
            "cached_tokens",
        ],
    )
    def test_an_export_that_says_something_else(self, run: Run, name: str) -> None:
        run.exported["agents"][0][name] += 1
        assert f"export: {name} is" in run.wrong()


@pytest.mark.parametrize("name", [RESULTS, CALLS])
class TestMemory:
    def test_more_lines_are_no_change(self, run: Run, name: str) -> None:
        *earlier, last = run.records(name)
        run.write(name, earlier)
        memory = Memory()
        assert memory.look(run.path) == []
        run.write(name, [*earlier, last])
        assert memory.look(run.path) == []

    def test_a_line_that_is_gone(self, run: Run, name: str) -> None:
        memory = Memory()
        memory.look(run.path)
        run.write(name, run.records(name)[:-1])
        assert memory.look(run.path) == [f"{name}: lines that were there have changed or are gone"]

    def test_a_line_that_has_changed(self, run: Run, name: str) -> None:
        memory = Memory()
        memory.look(run.path)
        run.change(name, lambda record: record.update(error="another"))
        assert len(memory.look(run.path)) == 1


class TestSessions:
    """Of an episode whose command is replaced by one that ends as a test wants it."""

    @pytest.mark.parametrize("code", [1, 4, 130])
    def test_an_end_that_no_kill_explains(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
    ) -> None:
        with ending_with(code, tmp_path, monkeypatch) as episode:
            assert f"session 1 ended with {code}" in episode.play().violations[0]

    def test_a_run_that_never_comes_to_its_end(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with ending_with(3, tmp_path, monkeypatch) as episode:
            found = episode.play().violations
        assert found == ["resumed again and again, it does not come to its end"]

    def test_a_session_that_hangs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("faults.episode._SESSION_WITHIN_S", 1.0)
        stand = "import faulthandler as f, signal, time; f.register(signal.SIGUSR1); time.sleep(60)"
        with instead_of_the_command(stand, tmp_path, monkeypatch) as episode:
            found = episode.play().violations
        assert "session 1 did not end within 1 s" in found[0]

    def test_what_is_left_on_the_engine_at_the_end_of_the_run(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with ending_with(0, tmp_path, monkeypatch, engine=Littered()) as episode:
            assert episode.play().violations == ["left on the engine: ['volume of odd']"]


class Littered(Engine):
    def left(self, run_id: str) -> list[str]:
        return [f"volume of {run_id}"]


@contextmanager
def ending_with(
    code: int, path: Path, monkeypatch: pytest.MonkeyPatch, engine: Engine | None = None
) -> Iterator[Episode]:
    program = f"raise SystemExit({code})"
    with instead_of_the_command(program, path, monkeypatch, engine) as episode:
        yield episode


@contextmanager
def instead_of_the_command(
    program: str, path: Path, monkeypatch: pytest.MonkeyPatch, engine: Engine | None = None
) -> Iterator[Episode]:
    monkeypatch.setattr("faults.session.ENTRY", ["-c", program])
    with open_books() as books:
        yield Episode("odd", [], Ground(path, engine, path / "cache", 1, 1), books)


@pytest.mark.docker
@pytest.mark.parametrize("what", ["container", "volume", "network"])
def test_whatever_carries_the_runs_label_is_left(what: str) -> None:
    name = f"faults-left-{os.getpid()}"
    labels = {"pacabench.run": name, "pacabench.role": "agent"}
    engine = Engine()
    assert engine.left(name) == []
    with engine.client() as client, one_of(what, client, name, labels):
        (left,) = engine.left(name)
        assert what in left
    assert engine.left(name) == []


@contextmanager
def one_of(
    what: str, client: docker.APIClient, name: str, labels: dict[str, str]
) -> Iterator[None]:
    with ExitStack() as stack:
        if what == "volume":
            client.create_volume(name, labels=labels)
            stack.callback(client.remove_volume, name)
        elif what == "network":
            network = client.create_network(name, internal=True, labels=labels)["Id"]
            stack.callback(client.remove_network, network)
        else:
            empty = client.import_image_from_data(EMPTY_TAR, repository=name)
            image = json.loads(empty)["status"]
            stack.callback(client.remove_image, image)
            container = client.create_container(image, "true", labels=labels)["Id"]
            stack.callback(client.remove_container, container)
        yield
