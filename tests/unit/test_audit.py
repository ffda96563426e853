"""How an attack's row is decided, and which controls share a container."""

from dataclasses import replace
from typing import Any, ClassVar

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
    decide,
    own_word,
)
from pacabench.audit.bench import upset
from pacabench.audit.catalogue import CATALOGUE, select
from pacabench.audit.lab import shared_controls
from pacabench.audit.scripts import attack_command, read_script
from pacabench.errors import UsageError
from pacabench.protocol import Answer
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

    def test_silence_is_no_verdict(self) -> None:
        with pytest.raises(NoAnswerError, match="no answer"):
            own_word(seen(silent=True))


class TestNextCase:
    FACTS: ClassVar[dict[str, Any]] = {
        "said": "you said: next 1",
        "key": "sk-new",
        "listening": ["0100007F:1F90"],
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
            ({"listening": ["0100007F:1F90", "00000000:1E61"]}, "something else listens"),
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

    def test_every_program_fits_into_a_command_line(self) -> None:
        for group in shared_controls(CATALOGUE):
            scripts = {attack.id: attack.script for attack in group if attack.script}
            command = attack_command(scripts)
            assert max(len(argument.encode()) for argument in command) < LONGEST_ARGUMENT


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
