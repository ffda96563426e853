"""What ``doctor`` makes of what engine and machine say."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from pacabench.cli.checks import (
    Check,
    disk_checks,
    engine_checks,
    image_checks,
    key_checks,
    limit_checks,
)

INFO: dict[str, Any] = {
    "OSType": "linux",
    "OperatingSystem": "Debian",
    "KernelVersion": "6.1",
    "Architecture": "x86_64",
    "NCPU": 2,
    "MemTotal": 8 * 1024**3,
    "SecurityOptions": ["name=seccomp,profile=default"],
    "CgroupVersion": "2",
    "CgroupDriver": "systemd",
    "MemoryLimit": True,
    "SwapLimit": True,
    "PidsLimit": True,
    "CpuCfsQuota": True,
}
VERSION = {"Version": "26.1", "ApiVersion": "1.45"}


def status(checks: Iterable[Check]) -> dict[str, str]:
    return {check.name: check.status for check in checks}


class TestEngine:
    def test_a_good_one(self) -> None:
        found = status(engine_checks(VERSION, INFO))
        assert found == {"version": "ok", "system": "ok", "seccomp": "ok", "users": "note"}

    @pytest.mark.parametrize(
        ("version", "info", "name"),
        [
            ({"Version": "18.09", "ApiVersion": "1.39"}, {}, "version"),
            ({}, {"OSType": "windows"}, "system"),
            ({}, {"SecurityOptions": ["name=apparmor"]}, "seccomp"),
            ({}, {"SecurityOptions": None}, "seccomp"),
        ],
    )
    def test_what_no_run_can_do_without(
        self, version: dict[str, str], info: dict[str, Any], name: str
    ) -> None:
        checks = engine_checks({**VERSION, **version}, {**INFO, **info})
        (missing,) = (check for check in checks if check.status == "missing")
        assert missing.name == name
        assert missing.means

    @pytest.mark.parametrize("option", ["name=rootless", "name=userns"])
    def test_users_that_are_mapped(self, option: str) -> None:
        info = {**INFO, "SecurityOptions": ["name=seccomp", option]}
        assert status(engine_checks(VERSION, info))["users"] == "ok"

    def test_an_engine_that_says_nothing_is_no_crash(self) -> None:
        assert status(engine_checks({}, {}))["version"] == "missing"


class TestLimits:
    def test_all_are_there(self) -> None:
        assert set(status(limit_checks(INFO)).values()) == {"ok"}

    @pytest.mark.parametrize(
        ("key", "name", "expected"),
        [
            ("MemoryLimit", "memory", "missing"),
            ("PidsLimit", "pids", "missing"),
            ("SwapLimit", "swap", "note"),
            ("CpuCfsQuota", "cpu", "note"),
        ],
    )
    def test_one_is_not(self, key: str, name: str, expected: str) -> None:
        checks = limit_checks({**INFO, key: False})
        assert status(checks)[name] == expected
        assert next(check for check in checks if check.name == name).means

    def test_a_rootless_engine_without_control_groups_is_explained(self) -> None:
        checks = limit_checks({"CgroupDriver": "none"})
        assert "systemd" in checks[0].found


class TestImages:
    def test_all_are_there(self) -> None:
        checks = image_checks(["sidecar", "agent"], base="python:3", can_make=None)
        assert set(status(checks).values()) == {"ok"}

    def test_none_is_and_none_can_be_made(self) -> None:
        checks = image_checks([], base=None, can_make="mmdebstrap is not installed")
        assert set(status(checks).values()) == {"note"}
        assert "not made here: mmdebstrap is not installed" in checks[0].means


class TestDisk:
    def test_free_space_where_the_directory_will_be(self, tmp_path: Path) -> None:
        (check,) = disk_checks([("runs", tmp_path / "not" / "yet")])
        assert str(tmp_path / "not" / "yet") in check.found
        assert check.status == "ok"

    def test_little_is_worth_a_note(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("pacabench.cli.checks._LOW_DISK_BYTES", 2**63)
        (check,) = disk_checks([("runs", tmp_path)])
        assert check.status == "note"
        assert check.means


class TestKeys:
    def test_names_and_never_values(self) -> None:
        own = {"A_KEY": "sk-a"}
        checks = key_checks(
            {"A_KEY", "B_KEY", "C_KEY"}, own, {**own, "B_KEY": "sk-b", "C_KEY": " "}
        )
        assert [(check.name, check.found) for check in checks] == [
            ("A_KEY", "in the environment"),
            ("B_KEY", "in .env"),
        ]
        assert "sk-" not in repr(checks)

    def test_none_is_a_note(self) -> None:
        assert status(key_checks({"A_KEY"}, {}, {})) == {"provider keys": "note"}
