"""The list itself: whom it is for, and that nothing that was taken out came back."""

import json
from typing import Any

import pytest

from pacabench.sandbox.docker.seccomp import seccomp_profile

PROFILE: dict[str, Any] = json.loads(seccomp_profile())
RULES: list[dict[str, Any]] = PROFILE["syscalls"]
ALLOWED = {
    name for rule in RULES if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]
}  # fmt: skip
OUT = """
io_uring_setup io_uring_enter io_uring_register keyctl add_key request_key userfaultfd bpf
perf_event_open ptrace process_vm_readv process_vm_writev modify_ldt mount umount2 setns unshare
pivot_root chroot init_module finit_module kexec_load reboot swapon clock_settime acct syslog
open_by_handle_at socketcall ipc fanotify_init fanotify_mark pidfd_getfd kcmp
"""


@pytest.mark.parametrize("name", OUT.split())
def test_what_was_taken_out_is_not_allowed(name: str) -> None:
    assert name not in ALLOWED


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
