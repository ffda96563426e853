"""Files that are written whole or not at all."""

import json
import os
import stat
from pathlib import Path

import pytest

from pacabench.cli.output import plain_json, write_file, write_result


def test_the_file_has_the_content_and_the_usual_mode(tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    before = os.umask(0o027)
    try:
        write_file(file, [b"{}\n"])
    finally:
        os.umask(before)
    assert file.read_bytes() == b"{}\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_a_file_that_was_there_keeps_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    file.write_bytes(b"old")
    file.chmod(0o600)
    write_file(file, [b"new"])
    assert file.read_bytes() == b"new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    write_file(tmp_path / "link", [b"new"])
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_a_failure_leaves_the_old_file_and_no_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "out.json"
    file.write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_file(file, [b"new"])
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_file(pipe, [b"through"])
        assert os.read(reader, 100) == b"through"
    finally:
        os.close(reader)
    assert pipe.is_fifo()


@pytest.mark.parametrize("text", ["a", "a\n"])
def test_a_result_ends_with_one_newline(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    write_result(text)
    assert capsys.readouterr().out == "a\n"


def test_json_holds_nothing_that_a_terminal_obeys_and_stays_the_same_json() -> None:
    value = {"k\x9b": "\x1b[2J \x9b31m \x7f \u202e \U000e0001 Größe ✓ 🦙 \u2028"}
    chunks = [json.dumps(value, ensure_ascii=False).encode(), b'"plain"']
    first, second = plain_json(chunks)
    assert json.loads(first) == value
    assert all(char.isprintable() for char in first.decode())
    assert "Größe ✓ 🦙" in first.decode()
    assert second == b'"plain"'
