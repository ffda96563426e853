"""One run of the whole command with hostile output, case ids and agent names: what it leaves.

``pacabench run`` as a user starts it: its own sidecar, lanes, journal, on a terminal; then the
views of it. All attacks on output look at the same run.
"""

import asyncio
import base64
import contextlib
import json
import os
import pty
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pacabench.audit.bench import LIMITS
from pacabench.audit.ground import Ground
from pacabench.audit.scripts import attack_command
from pacabench.errors import SandboxError
from pacabench.model import JSON, CaseResult
from pacabench.store import load_run

PAYLOAD = "files/payload.py"
RUN_ID = "hostile"
AGENT = "../../agent [red]`x`|<b>x</b>"
HOSTILE_IDS = {
    "traversal": "../../../escaped",
    "absolute": "/tmp/pacabench-escaped",  # noqa: S108 - must never be made
    "long": "x" * 300,
    "control": "\x1b]0;PWNED\x07\x9b31m\n# PWNED\x00",
}
PAYLOADS = (
    "terminal-escapes", "markup", "line-separators", "non-utf8", "nul", "lone-surrogates", "nan",
    "duplicate-keys", "deep-nesting", "huge-integers", "forged-frames",
)  # fmt: skip
_EXPECTED = {"duplicate-keys": "right", "forged-frames": "true", "plain": "plain"}
_RUN_WITHIN_S = 300.0
_VIEW_WITHIN_S = 60.0
_VIEWS: Mapping[str, Sequence[str]] = {
    "cases": ("show", RUN_ID, "--cases"),
    "failures": ("show", RUN_ID, "--failures"),
    "case": ("show", RUN_ID, "--case", "terminal-escapes"),
    "markdown": ("export", RUN_ID, "--format", "md", "--include-cases"),
    "json": ("export", RUN_ID, "--include-cases"),
}


@dataclass(frozen=True, slots=True)
class HostileRun:
    """What is left of it."""

    code: int
    screen: bytes
    """What the terminal got while it ran."""
    views: Mapping[str, str]
    results: Mapping[str, CaseResult]
    """By case id."""
    journal_lines: int
    """Of results.jsonl, as the file system has them."""
    strays: Sequence[str]
    """Files that appeared outside the run's directory."""
    names: Sequence[str]
    """All file names below the run's directory."""

    @property
    def plain_is_right(self) -> bool:
        """The harmless cases between the hostile ones got their answers."""
        plain = [item for name, item in self.results.items() if name.startswith("plain")]
        return bool(plain) and all(item.output == "plain" for item in plain)


async def hostile_run(ground: Ground) -> HostileRun:
    """The run, made once per lab.

    Raises:
        SandboxError: the command did not end as it has to.
    """
    return await ground.shared.once("hostile run", lambda: asyncio.to_thread(_make, ground))


def _make(ground: Ground) -> HostileRun:
    with tempfile.TemporaryDirectory(prefix="pacabench-audit-") as name:
        root = Path(name)
        project = root / "a" / "b" / "project"
        project.mkdir(parents=True)
        _write_project(project, ground.image)
        before = _files(root)
        code, screen = _on_a_terminal(["run", "--run-id", RUN_ID], project)
        run_dir = project / "runs" / RUN_ID
        if not (run_dir / "run.json").is_file():
            raise SandboxError(f"the run of hostile cases failed: {screen[-500:]!r}")
        views = {name: _view(arguments, project) for name, arguments in _VIEWS.items()}
        own = (run_dir, project / ".pacabench")
        return HostileRun(
            code=code,
            screen=screen,
            views=views,
            results={item.key.case_id: item for item in load_run(run_dir).results()},
            journal_lines=(run_dir / "results.jsonl").read_bytes().count(b"\n"),
            strays=[
                str(path)
                for path in sorted(_files(root) - before)
                if not any(path.is_relative_to(folder) for folder in own)
            ],
            names=[path.name for path in run_dir.rglob("*")],
        )


def _write_project(project: Path, image: str) -> None:
    program = attack_command({"payload": PAYLOAD})
    code = base64.b64encode(program[-1].encode()).decode()
    wrapped = [*program[:-1], f"import base64; exec(base64.b64decode('{code}'))"]
    config = {
        "name": "hostile",
        "config": {"concurrency": 2, "max_retries": 0, "proxy": {"provider": "scripted"}},
        "sandbox": {"image": image, "memory": LIMITS.memory, "tmp_size": LIMITS.tmp_size},
        "agents": [{"name": AGENT, "command": shlex.join(wrapped)}],
        "datasets": [{"name": "words", "source": "words.jsonl"}],
    }
    (project / "pacabench.yaml").write_text(json.dumps(config), encoding="utf-8")
    lines = "".join(json.dumps(case) + "\n" for case in _cases())
    (project / "words.jsonl").write_text(lines, encoding="utf-8")


def _cases() -> list[JSON]:
    cases: list[JSON] = []
    for number, payload in enumerate(PAYLOADS):
        cases.append(_case(payload, payload))
        if number % 4 == 0:
            cases.append(_case(f"plain-{number}", "plain"))
    return [*cases, *(_case(case_id, "plain") for case_id in HOSTILE_IDS.values())]


def _case(case_id: str, payload: str) -> JSON:
    expected = _EXPECTED.get(payload, "something else")
    given = {"attack": "payload", "payload": payload}
    return {"case_id": case_id, "input": given, "expected": expected}


def _files(root: Path) -> set[Path]:
    found = {path for path in root.rglob("*") if not path.is_dir()}
    return found | {path for path in [Path(HOSTILE_IDS["absolute"])] if path.exists()}


def _command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "pacabench", *arguments]


def _environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PACABENCH_")}
    return {**kept, "COLUMNS": "200", **more}


def _on_a_terminal(arguments: Sequence[str], project: Path) -> tuple[int, bytes]:
    """Run a command with a terminal as its stdout and stderr: exit code, and what that got."""
    near, far = pty.openpty()
    screen = b""
    try:
        process = subprocess.Popen(
            _command(arguments),
            cwd=project,
            env=_environment(TERM="xterm-256color"),
            stdin=subprocess.DEVNULL,
            stdout=far,
            stderr=far,
        )
        os.close(far)
        with contextlib.suppress(OSError):  # EIO: nobody is left on the other side
            while piece := os.read(near, 65536):
                screen += piece
        return process.wait(_RUN_WITHIN_S), screen
    finally:
        os.close(near)


def _view(arguments: Sequence[str], project: Path) -> str:
    shown = subprocess.run(
        _command(arguments),
        cwd=project,
        env=_environment(NO_COLOR="1"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=_VIEW_WITHIN_S,
    )
    if shown.returncode != 0:
        raise SandboxError(f"{' '.join(arguments)} failed: {shown.stderr[-500:]!r}")
    return shown.stdout.decode()
