"""The list itself: whom it is for, and that nothing that was taken out came back."""

import json
from typing import Any

import pytest

from pacabench.sandbox.docker.seccomp import seccomp_profile

TIGHT: dict[str, Any] = json.loads(seccomp_profile())
PROFILE: dict[str, Any] = json.loads(seccomp_profile(rare=True))
"""The longer list: all that is let through anywhere."""
RULES: list[dict[str, Any]] = PROFILE["syscalls"]


def allowed(profile: dict[str, Any]) -> set[str]:
    """Calls that are let through, some under a condition."""
    rules = (rule for rule in profile["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW")
    return {name for rule in rules for name in rule["names"]}


ALLOWED = allowed(PROFILE)
OUT = """
io_uring_setup io_uring_enter io_uring_register keyctl add_key request_key userfaultfd bpf
perf_event_open ptrace process_vm_readv process_vm_writev modify_ldt mount umount2 setns unshare
pivot_root chroot init_module finit_module kexec_load reboot swapon clock_settime acct syslog
open_by_handle_at socketcall ipc fanotify_init fanotify_mark pidfd_getfd kcmp
"""


@pytest.mark.parametrize("name", OUT.split())
def test_what_was_taken_out_is_not_allowed(name: str) -> None:
    assert name not in ALLOWED


def test_the_short_list_lets_nothing_through_that_the_long_one_does_not() -> None:
    assert allowed(TIGHT) < ALLOWED
    conditions = [rule for rule in TIGHT["syscalls"] if "args" in rule]
    assert [rule for rule in RULES if rule in conditions] == conditions
    assert TIGHT.keys() == PROFILE.keys()
    assert all(TIGHT[key] == PROFILE[key] for key in TIGHT if key != "syscalls")


@pytest.mark.parametrize("name", ["msgget", "mq_open", "vmsplice", "statmount", "personality"])
def test_what_hardly_any_program_calls_is_in_the_long_list_alone(name: str) -> None:
    assert name in ALLOWED
    assert name not in allowed(TIGHT)


@pytest.mark.parametrize("rare", [False, True])
def test_a_list_is_said_in_few_words(rare: bool) -> None:  # each one costs every attempt
    profile = json.loads(seccomp_profile(rare=rare))
    (plain,) = (rule for rule in profile["syscalls"] if rule.keys() == {"names", "action"})
    assert plain["action"] == "SCMP_ACT_ALLOW"
    assert len(plain["names"]) == len(set(plain["names"]))
    others = [rule for rule in profile["syscalls"] if rule is not plain]
    assert all("args" in rule or rule["names"] == ["clone3"] for rule in others)
    assert all(rule.keys() <= {"names", "action", "args", "errnoRet"} for rule in others)


def test_what_is_not_named_is_refused_and_no_32_bit_program_is_let_in() -> None:
    assert PROFILE["defaultAction"] == "SCMP_ACT_ERRNO"
    assert all(entry["subArchitectures"] == [] for entry in PROFILE["archMap"])


def test_sockets_are_of_four_families() -> None:
    rules = [rule["args"] for rule in RULES if rule["names"] == ["socket"]]
    assert sorted(rule[0]["value"] for rule in rules) == [1, 2, 10, 16]
    (netlink,) = (rule for rule in rules if rule[0]["value"] == 16)
    assert netlink[1] == {"index": 2, "value": 0, "op": "SCMP_CMP_EQ"}
    assert all(rule[0]["op"] == "SCMP_CMP_EQ" for rule in rules)
    (pair,) = (rule["args"] for rule in RULES if rule["names"] == ["socketpair"])
    assert [it["value"] for it in pair] == [1]


def test_no_call_is_allowed_without_its_condition_besides() -> None:
    for name in ("socket", "socketpair", "clone", "personality"):
        assert all("args" in rule for rule in RULES if name in rule["names"])


def test_a_new_namespace_cannot_be_had_by_clone() -> None:
    (rule,) = (rule for rule in RULES if rule["names"] == ["clone"])
    (condition,) = rule["args"]
    assert (condition["op"], condition["valueTwo"]) == ("SCMP_CMP_MASKED_EQ", 0)
    for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert condition["value"] & flag
