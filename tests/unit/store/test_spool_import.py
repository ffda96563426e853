"""Calls that a proxy noted when no harness was there to hear of them."""

import fcntl
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pacabench.egress import CaseEgress, EgressRecord
from pacabench.errors import JournalError
from pacabench.model import CallRecord, CaseKey, CaseResult, MeteredCall, new_attempt_id
from pacabench.proxy.record import CallDraft
from pacabench.proxy.spool import Spool, live_spool
from pacabench.store import RunStore, load_run
from pacabench.store.reader import read_calls
from pacabench.store.spool import JUDGES
from pacabench.testing.records import (
    fake_egress,
    fake_key,
    fake_manifest,
    fake_metered,
    fake_result,
)

KEYS = [fake_key("case-1"), fake_key("case-2")]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    with RunStore.create(tmp_path, fake_manifest(), "") as store:
        yield store


def price(call: CallRecord) -> float | None:
    return 0.5 if call.status == 200 else None


def spool(store: RunStore, *calls: CallRecord, name: str = "sidecar-1") -> Path:
    path = store.run_dir / "spool" / name
    spool = Spool(path)
    for call in calls:
        spool.end(call)
    spool.close()
    return path


def egress_spool(store: RunStore, *ways: EgressRecord) -> Path:
    path = store.run_dir / "spool" / "sidecar-2"
    spool = Spool(path)
    for way in ways:
        spool.egress(way)
    spool.close()
    return path


def call_of(key: CaseKey) -> CallRecord:
    return fake_metered(fake_result(key)).call


def imported(store: RunStore) -> list[tuple[str, CaseKey, float | None, bool]]:
    return [(c.call.call_id, c.key, c.cost_usd, c.recovered) for _, c in read_calls(store.run_dir)]


class TestImportSpool:
    def test_adds_what_is_missing_with_its_case_and_price(self, store: RunStore) -> None:
        first, second = map(call_of, KEYS)
        path = spool(store, first, second)
        assert store.import_spool(KEYS, price) == 2
        assert imported(store) == [
            (first.call_id, KEYS[0], 0.5, True),
            (second.call_id, KEYS[1], 0.5, True),
        ]
        assert not path.exists()

    def test_passes_over_what_is_on_record(self, store: RunStore) -> None:
        result = fake_result(KEYS[0])
        known = fake_metered(result, 0.25)
        store.append_call(known)
        spool(store, known.call, call_of(KEYS[0]))
        spool(store, known.call, name="sidecar-2")
        assert store.import_spool(KEYS, price) == 1
        assert [cost for _, _, cost, _ in imported(store)] == [0.25, 0.5]

    def test_a_garbled_line_is_said_and_its_file_kept(self, store: RunStore) -> None:
        path = spool(store, *map(call_of, KEYS))
        lines = path.read_bytes().splitlines(keepends=True)
        garbled = b"".join([lines[0].replace(b":", b";"), *lines[1:], b'{"begin": {"torn'])
        path.write_bytes(garbled)
        told: list[str] = []
        assert store.import_spool(KEYS, price, warn=told.append) == 1
        assert not path.exists()
        (note,) = told
        assert f"spool/{path.name}: lines that cannot be read: 1." in note
        assert (store.run_dir / f"spool.cut-{path.name}").read_bytes() == garbled

    def test_the_torn_end_of_a_proxy_that_died_is_not_worth_a_word(self, store: RunStore) -> None:
        path = spool(store, call_of(KEYS[0]))
        path.write_bytes(path.read_bytes() + b'{"begin": {"torn')
        told: list[str] = []
        assert store.import_spool(KEYS, price, warn=told.append) == 1
        assert not path.exists()
        assert told == []

    def test_twice_adds_nothing(self, store: RunStore) -> None:
        call = call_of(KEYS[0])
        path = spool(store, call)
        content = path.read_bytes()
        assert store.import_spool(KEYS, price) == 1
        path.write_bytes(content)  # the harness was killed before it could remove the file
        assert store.import_spool(KEYS, price) == 0
        assert len(imported(store)) == 1

    def test_a_call_that_never_ended_is_kept_as_interrupted(self, store: RunStore) -> None:
        path = store.run_dir / "spool" / "s"
        proxy = Spool(path)
        attempt_id = new_attempt_id(KEYS[0])
        proxy.begin(CallDraft(attempt_id, provider="openai", endpoint="chat.completions"))
        proxy.close()
        assert store.import_spool(KEYS, price) == 1
        ((_, call),) = read_calls(store.run_dir)
        assert (call.call.end, call.cost_usd, call.call.may_be_billed) == (
            "interrupted",
            None,
            True,
        )

    def test_calls_of_unknown_cases_wait_for_a_session_that_knows_them(
        self, store: RunStore
    ) -> None:
        path = spool(store, call_of(fake_key("elsewhere")), call_of(KEYS[0]))
        assert store.import_spool(KEYS, price) == 1
        assert path.exists()
        assert store.import_spool([fake_key("elsewhere")], price) == 1
        assert not path.exists()

    async def test_cases_with_results_are_known_by_themselves(self, store: RunStore) -> None:
        result: CaseResult = fake_result(fake_key("left the data set"))
        await store.append_result(result)
        spool(store, fake_metered(result).call)
        assert store.import_spool([], price) == 1

    def test_a_torn_line_takes_no_others_with_it(self, store: RunStore) -> None:
        path = spool(store, call_of(KEYS[0]))
        path.write_bytes(b'{"end":{"torn\n' + path.read_bytes() + b'{"begin"')
        assert store.import_spool(KEYS, price) == 1

    def test_the_spool_of_a_living_proxy_is_left_alone(self, store: RunStore) -> None:
        path = spool(store, call_of(KEYS[0]))
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            assert store.import_spool(KEYS, price) == 0
            assert path.exists()
        assert store.import_spool(KEYS, price) == 1

    def test_nothing_to_do_where_there_is_no_directory(self, store: RunStore) -> None:
        (store.run_dir / "spool").rmdir()
        assert store.import_spool(KEYS, price) == 0

    def test_a_fifo_in_there_is_refused(self, store: RunStore) -> None:
        os.mkfifo(store.run_dir / "spool" / "pipe")
        with pytest.raises(JournalError, match="no regular file"):
            store.import_spool(KEYS, price)


class TestImportEgress:
    def test_adds_what_is_missing_as_its_last_line_has_it(self, store: RunStore) -> None:
        result = fake_result(KEYS[0])
        known, ended = fake_egress(result), fake_egress(result)
        begun = replace(ended.egress, reason="interrupted", bytes_up=0)
        cut = replace(fake_egress(result).egress, reason="interrupted")
        store.append_egress(known)
        path = egress_spool(store, known.egress, begun, ended.egress, cut)
        for _ in range(2):
            assert store.import_spool(KEYS, price) == 0  # calls
            assert not path.exists()
            assert list(load_run(store.run_dir).egress()) == [
                known,
                replace(ended, recovered=True),
                CaseEgress(KEYS[0], cut, recovered=True),
            ]

    def test_one_of_no_known_case_keeps_the_file(self, store: RunStore) -> None:
        elsewhere = fake_result(fake_key("elsewhere"))
        path = egress_spool(store, fake_egress(elsewhere).egress)
        store.import_spool(KEYS, price)
        assert path.exists()
        store.import_spool([elsewhere.key], price)
        assert not path.exists()
        assert len(list(load_run(store.run_dir).egress())) == 1


class TestJudges:
    """Calls that judged answers: in books of their own."""

    def test_go_to_the_judges_file_with_the_judges_price(self, store: RunStore) -> None:
        agents, judges = call_of(KEYS[0]), call_of(KEYS[0])
        spool(store, agents)
        path = spool(store, judges, name="judge-1")
        assert store.import_spool(KEYS, price, lambda _: 0.25) == 2
        assert [call_id for call_id, *_ in imported(store)] == [agents.call_id]
        (judged,) = store.judge_calls()
        assert (judged.call, judged.key) == (judges, KEYS[0])
        assert (judged.cost_usd, judged.recovered) == (0.25, True)
        assert store.usage["agent", "data"].calls == 1
        assert not path.exists()

    def test_what_is_on_record_is_passed_over(self, store: RunStore) -> None:
        first, second = call_of(KEYS[0]), call_of(KEYS[1])
        store.append_judge_call(MeteredCall(KEYS[0], first, 0.1))
        spool(store, first, second, name="judge-1")
        assert store.import_spool(KEYS, price) == 1
        assert [(it.call.call_id, it.cost_usd) for it in store.judge_calls()] == [
            (first.call_id, 0.1),
            (second.call_id, None),
        ]
        assert store.import_spool(KEYS, price) == 0

    def test_one_that_only_began_is_interrupted(self, store: RunStore) -> None:
        draft = CallDraft(call_of(KEYS[0]).attempt_id, "openai", "chat.completions")
        path = store.run_dir / "spool" / "judge-1"
        begun = Spool(path)
        begun.begin(draft)
        begun.close()
        assert store.import_spool(KEYS, price) == 1
        (judged,) = store.judge_calls()
        assert (judged.call.end, judged.call.usage) == ("interrupted", None)

    def test_of_a_live_harness_are_left_alone(self, store: RunStore) -> None:
        with live_spool(store.run_dir / "spool", JUDGES) as live:
            live.end(call_of(KEYS[0]))
            assert store.import_spool(KEYS, price) == 0
        assert not list((store.run_dir / "spool").iterdir())
