"""The audit as a user runs it, and that it notices a sandbox without a protection."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import docker
import pytest

from pacabench.audit import mutations as m
from pacabench.audit.attack import Mutation
from pacabench.audit.lab import RUN_ID
from pacabench.cli.auditing import run_audit
from pacabench.cli.exit import ExitCode

pytestmark = pytest.mark.docker

PACABENCH = Path(sys.executable).with_name("pacabench")


@pytest.mark.parametrize(
    ("protection", "broken", "held"),
    [
        (m.ON_BRIDGE, ["network.host-listeners", "network.dns-engine"], ["network.packet-socket"]),
        (m.WITH_NEIGHBOUR, ["network.foreign-key", "network.abstract-sockets"], ["network.wan"]),
        (m.NO_SECCOMP, ["privilege.filter", "privilege.keyrings"], ["privilege.capabilities"]),
        (m.WITH_CAPABILITIES, ["privilege.capabilities", "privilege.mount"], ["network.wan"]),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_an_audit_without_a_protection_reports_what_breaks_and_fails(
    protection: Mutation,
    broken: Sequence[str],
    held: Sequence[str],
    cache_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    code = run_audit([*broken, *held], cache_dir=cache_dir, as_json=True, weaken=protection)

    found = {row["id"]: row["status"] for row in json.loads(capsys.readouterr().out)["attacks"]}
    assert code == ExitCode.ERROR
    assert found == {**dict.fromkeys(broken, "BROKEN"), **dict.fromkeys(held, "held")}
    assert list(tmp_path.iterdir()) == []  # says nothing of the real sandbox


def audit(tmp_path: Path, cache_dir: Path, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [PACABENCH, "doctor", "--audit", "--cache-dir", str(cache_dir), *args],
        cwd=tmp_path,
        env={
            **os.environ,
            "XDG_STATE_HOME": str(tmp_path / "state"),
            "TMPDIR": str(tmp_path),  # a killed one leaves its directory
            "COLUMNS": "200",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def made_by(pid: int) -> list[Any]:
    """What an audit by process ``pid`` has on the engine."""
    client = docker.from_env(timeout=60)
    wanted = {"label": [f"pacabench.run={RUN_ID}", f"pacabench.pid={pid}"]}
    try:
        return [
            *client.api.containers(all=True, filters=wanted),
            *client.api.networks(filters=wanted),
            *(client.api.volumes(filters=wanted).get("Volumes") or ()),
        ]
    finally:
        client.close()


class TestCommand:
    def test_some_attacks_held_as_a_table(self, tmp_path: Path, cache_dir: Path) -> None:
        process = audit(tmp_path, cache_dir, "--only", "network.wan,privilege.capabilities")
        out, err = process.communicate(timeout=100)

        assert process.returncode == 0, err
        assert "network.wan" in out
        assert "2 held, 0 BROKEN, 0 UNPROVEN, 0 not applicable on Docker" in out
        assert "[2/2] held" in err
        assert not (tmp_path / "state").exists()  # a part says nothing of the whole
        assert made_by(process.pid) == []

    def test_a_profile_that_promises_less_is_reported_as_it_is(
        self, tmp_path: Path, cache_dir: Path
    ) -> None:
        names = "network.wan,privilege.filter,privilege.capabilities"
        process = audit(tmp_path, cache_dir, "--profile", "unsafe", "--only", names, "--json")
        out, err = process.communicate(timeout=100)

        report = json.loads(out)
        assert process.returncode == 1, err
        assert report["profile"] == "unsafe"
        assert "by design" in report["attacks"][-1]["why"]
        assert {row["id"]: row["status"] for row in report["attacks"]} == {
            "network.wan": "held",
            "privilege.filter": "BROKEN",
            "privilege.capabilities": "BROKEN",
        }

    def test_a_profile_without_an_audit_is_a_usage_error(self, tmp_path: Path) -> None:
        told = subprocess.run(
            [PACABENCH, "doctor", "--profile", "compat"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert told.returncode == 2
        assert "--audit" in told.stderr

    def test_an_unknown_attack_is_a_usage_error(self, tmp_path: Path, cache_dir: Path) -> None:
        process = audit(tmp_path, cache_dir, "--only", "network.wam")
        _, err = process.communicate(timeout=60)

        assert process.returncode == 2
        assert "did you mean 'network.wan'?" in err

    def test_what_a_killed_audit_left_is_removed_by_clean(
        self, tmp_path: Path, cache_dir: Path
    ) -> None:
        process = audit(tmp_path, cache_dir, "--only", "network")
        deadline = time.monotonic() + 60
        while len(made_by(process.pid)) < 5:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.kill()
        process.communicate()

        subprocess.run([PACABENCH, "clean"], check=True, timeout=100, cwd=tmp_path)

        assert made_by(process.pid) == []

    def test_a_signal_ends_it_and_leaves_nothing(self, tmp_path: Path, cache_dir: Path) -> None:
        process = audit(tmp_path, cache_dir, "--only", "network")
        deadline = time.monotonic() + 60
        while len(made_by(process.pid)) < 5:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)

        assert process.returncode == 130
        assert made_by(process.pid) == []
