"""How an attack's row is decided, and which controls share a container."""

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest

from pacabench.agent import Reply
from pacabench.audit.attack import (
    Attack,
    Control,
    Finding,
    Group,
    Mutation,
    NoAnswerError,
    Observation,
    Status,
    Verdict,
    decide,
    own_word,
)
from pacabench.audit.bench import Bench, upset
from pacabench.audit.catalogue import CATALOGUE, select
from pacabench.audit.document import render_document
from pacabench.audit.lab import observe_controls, shared_controls
from pacabench.audit.scripts import attack_command, read_script
from pacabench.audit.summary import summarise_audit
from pacabench.cli.auditing import audit_as_json
from pacabench.errors import SandboxError, UsageError
from pacabench.protocol import Answer
from pacabench.provenance import sandbox_record
from pacabench.sandbox.base import AgentProfile, SandboxFacts
from pacabench.store import AuditRecord, SandboxRecord
from pacabench.store.audits import AuditKey, find_audit, keep_audit
from pacabench.testing.records import fake_key, fake_metered, fake_result

LONGEST_ARGUMENT = 128 * 1024 - 1
"""Linux's MAX_ARG_STRLEN."""

OFF = Mutation("off", "the protection", lambda body, _: body)
ATTACK = Attack(
    id="network.some",
    group=Group.NETWORK,
    title="t",
    tried="what is tried",
    expected="it is refused",
    remedy="update the engine",
    control=Control(OFF),
)
FAILED = Finding(broke=False)
WORKED = Finding(broke=True)


def seen(output: Any = None, *, silent: bool = False, calls: Any = ()) -> Observation:
    answer = None if silent else Answer(output, None)
    reply = Reply(answer, timed_out=False, silent=silent, log=b"", duration_ms=1.0)
    return Observation(reply, None, calls, 0.1)


class TestDecide:
    def test_held_when_it_failed_and_works_without_the_protection(self) -> None:
        assert decide(ATTACK, FAILED, None, WORKED) == (Status.HELD, "it is refused")

    def test_broken_when_it_worked_whatever_the_control_says(self) -> None:
        for control in (WORKED, FAILED, "no container", Finding(broke=False, missing="no kernel")):
            assert decide(ATTACK, WORKED, None, control) == (Status.BROKEN, "update the engine")

    def test_broken_when_the_next_case_was_affected(self) -> None:
        status, why = decide(ATTACK, FAILED, "files were left", WORKED)

        assert status is Status.BROKEN
        assert "files were left" in why

    def test_unproven_when_it_fails_without_the_protection_too(self) -> None:
        status, why = decide(ATTACK, FAILED, None, FAILED)

        assert status is Status.UNPROVEN
        assert "the protection" in why

    @pytest.mark.parametrize(("struck", "control"), [("it hung", WORKED), (FAILED, "no container")])
    def test_unproven_when_either_told_nothing(
        self, struck: Finding | str, control: Finding | str
    ) -> None:
        status, why = decide(ATTACK, struck, None, control)

        assert status is Status.UNPROVEN
        assert "it hung" in why or "no container" in why

    def test_not_applicable_where_there_is_nothing_to_attack(self) -> None:
        absent = Finding(broke=False, missing="this kernel has no AF_VSOCK")

        assert decide(ATTACK, FAILED, None, absent) == (
            Status.NOT_APPLICABLE,
            "this kernel has no AF_VSOCK",
        )


class TestOwnWord:
    def test_takes_what_the_script_says(self) -> None:
        said = {"broke": True, "evidence": {"a": 1}, "missing": None}

        assert own_word(seen(said)) == Finding(broke=True, evidence={"a": 1})

    @pytest.mark.parametrize("output", ["yes", {"broke": "no"}, {"broke": None}, None])
    def test_takes_nothing_else_for_a_verdict(self, output: Any) -> None:
        with pytest.raises(NoAnswerError):
            own_word(seen(output))

    def test_takes_a_scripts_doubt_for_the_reason(self) -> None:
        with pytest.raises(NoAnswerError, match=r"^the machine is too busy$"):
            own_word(seen({"broke": None, "unclear": "the machine is too busy"}))

    def test_silence_is_no_verdict(self) -> None:
        with pytest.raises(NoAnswerError, match="no answer"):
            own_word(seen(silent=True))


class TestNextCase:
    FACTS: ClassVar[dict[str, Any]] = {
        "said": "you said: next 1",
        "key": "sk-new",
        "listening": ["0100007F:1F90", "0100007F:1F91"],
        "abstract": [],
        "processes": 2,
        "files": [],
        "interfaces": ["lo"],
    }

    def check(self, *, attempt_id: str = "a", **changes: Any) -> str | None:
        result = replace(fake_result(fake_key()), attempt_id="a")
        calls = [fake_metered(result).call]
        output = {"broke": False, "evidence": {**self.FACTS, **changes}}
        return upset(seen(output, calls=calls), "next 1", attempt_id, earlier_key="sk-old")

    def test_nothing_is_wrong_with_a_case_that_is_as_it_should_be(self) -> None:
        assert self.check() is None

    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            ({"said": "next 2"}, "the model did not answer"),
            ({"key": "sk-old"}, "the key of the attack"),
            (
                {"listening": ["0100007F:1F90", "0100007F:1F91", "0200007F:1E61"]},
                "something else listens",
            ),
            ({"listening": []}, "something else listens"),
            ({"abstract": ["0000: 2 @x"]}, "abstract socket"),
            ({"processes": 3}, "processes were left"),
            ({"files": ["/tmp/x"]}, "files were left"),
            ({"interfaces": ["eth0", "lo"]}, "its network changed"),
            ({"attempt_id": "other"}, "was not metered"),
        ],
    )
    def test_each_thing_that_is_off_is_named(self, changes: dict[str, Any], problem: str) -> None:
        assert problem in str(self.check(**changes))

    def test_no_answer_is_wrong(self) -> None:
        assert "did not answer" in str(upset(seen(silent=True), "next 1", "a", earlier_key=None))


class FlakyBench:
    """Its engine fails to start the first containers."""

    def __init__(self, failures: int) -> None:
        self._failures = failures
        self.asked = 0

    async def share(self, *_: Any) -> list[Observation]:
        self.asked += 1
        if self.asked <= self._failures:
            raise SandboxError("runc create failed")
        return [seen("it worked")]


class TestControls:
    def test_those_with_the_same_change_share_a_container_up_to_a_limit(self) -> None:
        attacks = [replace(ATTACK, id=f"network.n{number}") for number in range(10)]

        assert [len(group) for group in shared_controls(attacks)] == [8, 2]

    def test_those_that_are_alone_or_driven_or_heavy_do_not(self) -> None:
        async def drive(*_: Any) -> Observation:
            return seen()

        attacks = [
            replace(ATTACK, id="network.a", control=Control(OFF, alone=True)),
            replace(ATTACK, id="network.b", drive=drive),
            replace(ATTACK, id="network.c", exclusive=True),
            replace(ATTACK, id="network.d", control=Control(drive=drive)),
            ATTACK,
        ]

        assert [len(group) for group in shared_controls(attacks)] == [1] * 5

    @pytest.mark.parametrize("failures", [0, 1])
    async def test_an_engine_that_fails_to_start_one_is_asked_once_more(
        self, failures: int
    ) -> None:
        bench = FlakyBench(failures)
        assert await observe_controls(cast("Bench", bench), [ATTACK]) == [seen("it worked")]
        assert bench.asked == failures + 1

    async def test_one_that_cannot_be_started_twice_says_so(self) -> None:
        bench = FlakyBench(failures=2)
        with pytest.raises(SandboxError, match="runc"):
            await observe_controls(cast("Bench", bench), [ATTACK])
        assert bench.asked == 2

    def test_every_program_fits_into_a_command_line(self) -> None:
        for group in shared_controls(CATALOGUE):
            scripts = {attack.id: attack.script for attack in group if attack.script}
            command = attack_command(scripts)
            assert max(len(argument.encode()) for argument in command) < LONGEST_ARGUMENT


VERDICTS = [
    Verdict(replace(ATTACK, id=f"network.{name}"), status, "why", {}, {}, 0.1)
    for name, status in (
        ("a", Status.HELD),
        ("b", Status.HELD),
        ("c", Status.BROKEN),
        ("d", Status.UNPROVEN),
        ("e", Status.NOT_APPLICABLE),
    )
]
KEY = AuditKey(engine_id="ABCD:1234", engine_version="20.10.24", profile="strict")


class TestSummary:
    @pytest.fixture(autouse=True)
    def state(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
        return tmp_path

    def test_counts_and_names(self) -> None:
        made = summarise_audit(KEY, "Docker", VERDICTS)

        assert (made.held, made.broken, made.unproven) == (2, ("network.c",), ("network.d",))
        assert made.record == AuditRecord(at=made.at, held=2, broken=1, unproven=1)

    def test_what_was_kept_is_found_again(self) -> None:
        made = summarise_audit(KEY, "Docker", VERDICTS)
        keep_audit(made)

        assert find_audit(KEY) == made

    @pytest.mark.parametrize(
        "change",
        [
            {"engine_id": "other"},
            {"engine_version": "28.0"},
            {"profile": "compat"},
            {"package_version": "0.0.1"},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_it_says_nothing_of_anything_else(self, change: dict[str, str]) -> None:
        keep_audit(summarise_audit(KEY, "Docker", VERDICTS))

        assert find_audit(replace(KEY, **change)) is None

    @pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"key": 1}'])
    def test_a_damaged_file_is_as_good_as_none(self, content: bytes) -> None:
        path = keep_audit(summarise_audit(KEY, "Docker", VERDICTS))
        path.write_bytes(content)

        assert find_audit(KEY) is None

    def test_the_later_audit_wins(self) -> None:
        keep_audit(summarise_audit(KEY, "Docker", VERDICTS))
        later = summarise_audit(KEY, "Docker", VERDICTS[:2])
        keep_audit(later)

        assert find_audit(KEY) == later

    def test_a_relative_state_home_is_ignored(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", "state")
        monkeypatch.setenv("HOME", str(tmp_path))

        assert keep_audit(summarise_audit(KEY, "Docker", VERDICTS)).is_relative_to(
            tmp_path / ".local" / "state" / "pacabench"
        )


class TestShown:
    def test_as_json_every_attack_has_a_row(self) -> None:
        shown = audit_as_json(VERDICTS, summarise_audit(KEY, "Docker 20.10", VERDICTS))

        assert (shown["held"], shown["broken"], shown["unproven"]) == (2, 1, 1)
        assert [row["status"] for row in shown["attacks"]] == [
            "held",
            "held",
            "BROKEN",
            "UNPROVEN",
            "not applicable",
        ]
        assert shown["attacks"][0]["removed_in_control"] == "the protection"

    def test_the_page_in_docs_is_what_the_catalogue_says(self) -> None:
        page = Path(__file__).parents[2] / "docs" / "attack-suite.md"

        assert page.read_text(encoding="utf-8") == render_document(), (
            "python -m pacabench.audit.document > docs/attack-suite.md"
        )


class TestCatalogue:
    def test_ids_are_unique_and_belong_to_their_group(self) -> None:
        ids = [attack.id for attack in CATALOGUE]

        assert len(set(ids)) == len(ids)
        assert all(attack.id.startswith(f"{attack.group}.") for attack in CATALOGUE)

    @pytest.mark.parametrize("attack", CATALOGUE, ids=lambda attack: attack.id)
    def test_every_attack_has_a_script_a_control_and_words(self, attack: Attack) -> None:
        assert (attack.script == "") <= (attack.drive is not None)
        assert not attack.script or "def attack(" in read_script(attack.script)
        assert (attack.control.mutation is None) != (attack.control.drive is None)
        assert all((attack.title, attack.tried, attack.expected, attack.remedy))
        assert attack.control.text

    def test_attacks_are_chosen_by_id_or_group(self) -> None:
        assert select([]) == CATALOGUE
        assert [attack.id for attack in select(["privilege.root-files"])] == [
            "privilege.root-files"
        ]
        assert {attack.group for attack in select(["privilege"])} == {Group.PRIVILEGE}

    def test_an_unknown_one_is_named_with_the_nearest(self) -> None:
        with pytest.raises(UsageError, match=r"privilege\.root-fil.*did you mean.*root-files"):
            select(["privilege.root-filez"])


class TestStamped:
    FACTS = SandboxFacts(
        kind="docker",
        engine="Docker 20.10",
        image_digests={},
        engine_id=KEY.engine_id,
        engine_version=KEY.engine_version,
        profiles={"a": AgentProfile("strict"), "b": AgentProfile("strict")},
    )

    @pytest.fixture(autouse=True)
    def kept(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
        keep_audit(summarise_audit(KEY, "Docker", VERDICTS))

    def stamped(self, **changes: Any) -> AuditRecord | None:
        facts = replace(self.FACTS, **changes)
        return sandbox_record(facts, SandboxRecord(kind="docker")).audit

    def test_a_run_on_an_audited_engine_says_so(self) -> None:
        found = self.stamped()

        assert found is not None
        assert (found.held, found.broken, found.unproven) == (2, 1, 1)

    @pytest.mark.parametrize(
        "changes",
        [
            {"engine_id": None},
            {"engine_version": "28.0"},
            {"profiles": {"a": AgentProfile("compat")}},
            {"profiles": {"a": AgentProfile("strict"), "b": AgentProfile("unsafe")}},
            {"profiles": {}},
        ],
        ids=["no engine", "newer engine", "another profile", "two profiles", "not contained"],
    )
    def test_one_that_was_not_audited_as_it_is_says_nothing(self, changes: dict[str, Any]) -> None:
        assert self.stamped(**changes) is None
