"""Exit codes and the one message on stderr."""

import asyncio
import stat
from pathlib import Path

import pytest

from pacabench.cli.exit import ExitCode, run_guarded
from pacabench.errors import ConfigError, PacabenchError, UsageError

Capture = pytest.CaptureFixture[str]


def end_with(error: BaseException) -> int:
    def command() -> None:
        raise error

    return run_guarded(command)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), ExitCode.USAGE),
        (ConfigError("x"), ExitCode.ERROR),
        (PermissionError(13, "Permission denied", "/x"), ExitCode.ERROR),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED),
        (asyncio.CancelledError(), ExitCode.INTERRUPTED),
        (SystemExit(3), 3),
        (SystemExit(None), 0),
        (SystemExit("text"), 1),
    ],
)
def test_codes(error: BaseException, code: int) -> None:
    assert end_with(error) == code


def test_no_error_is_zero() -> None:
    assert run_guarded(lambda: None) == 0


def test_a_message_keeps_its_lines_and_gets_its_notes(capsys: Capture) -> None:
    error = PacabenchError("pacabench.yaml:3: [bold]agents\n  a second line \x1b[2J")
    error.add_note("go on with: pacabench resume x")
    end_with(error)
    assert capsys.readouterr().err == (
        "error: pacabench.yaml:3: [bold]agents\n  a second line \\x1b[2J\n"
        "go on with: pacabench resume x\n"
    )


def test_an_os_error_names_its_file(capsys: Capture) -> None:
    end_with(PermissionError(13, "Permission denied", "/some/file"))
    assert capsys.readouterr().err == "error: Permission denied: /some/file\n"


def test_a_bug_is_one_message_and_a_private_file_without_values(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def command() -> None:
        api_key = "sk-" + "secret"
        raise KeyError(len(api_key))

    assert run_guarded(command) == ExitCode.ERROR
    text = capsys.readouterr().err
    assert text.startswith("error: KeyError: 9\nThis is a bug in PacaBench.")
    assert "Traceback" not in text
    (file,) = tmp_path.iterdir()
    assert str(file) in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "Traceback" in file.read_text()
    assert "sk-secret" not in file.read_text()


def test_a_bug_whose_file_finds_no_room_is_told_whole(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    assert end_with(KeyError(9)) == ExitCode.ERROR
    text = capsys.readouterr().err
    assert text.startswith(
        "error: KeyError: 9\nThis is a bug in PacaBench. The traceback could not be"
    )
    assert "in command" in text
    assert "During handling" not in text
