"""What an agent's container runs."""

import subprocess
from pathlib import Path

from pacabench.sandbox.docker.session import agent_command, packed


def run(command: str, source: Path | None, cwd: Path) -> subprocess.CompletedProcess[str]:
    line = agent_command(command, str(source) if source is not None else None)
    return subprocess.run(line, cwd=cwd, capture_output=True, text=True, check=False)


def test_the_source_is_copied_with_modes_and_hidden_files(tmp_path: Path) -> None:
    source, work = tmp_path / "source", tmp_path / "work"
    (source / "deep").mkdir(parents=True)
    work.mkdir()
    (source / ".hidden").write_text("x")
    script = source / "deep" / "run me.sh"
    script.write_text("#!/bin/sh\necho ran $1\n")
    script.chmod(0o755)
    done = run("'deep/run me.sh' \"a b\" && ls -A", source, work)
    assert done.stdout.split("\n") == ["ran a b", ".hidden", "deep", ""]


def test_a_command_is_one_argument_whatever_is_in_it(tmp_path: Path) -> None:
    done = run('echo "$HOME\'; \\$(x)" | cat; exit 4', None, tmp_path)
    assert (done.returncode, done.stdout.endswith("'; $(x)\n")) == (4, True)


def test_the_exit_code_of_the_command_is_that_of_the_container(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    assert run("exit 9", tmp_path / "source", tmp_path).returncode == 9


def test_a_source_that_does_not_fit_is_told_apart(tmp_path: Path) -> None:
    done = run("echo never", tmp_path / "not there", tmp_path)
    assert done.returncode == 73
    assert done.stdout == ""
    assert "sandbox.tmp_size" in done.stderr


def test_a_command_of_many_lines_is_run_as_it_stands(tmp_path: Path) -> None:
    source = tmp_path / "it's the source"
    source.mkdir()
    (source / "name.txt").write_text("world")
    command = "# says hello\nread -r name < name.txt\ncat <<END\nhello $name, $0\nEND\n"
    assert run(command, source, tmp_path).stdout == "hello world, /bin/sh\n"


class TestFiles:
    def test_are_unpacked_before_the_command_and_the_case_is_left_on_stdin(
        self, tmp_path: Path
    ) -> None:
        files = {"a.txt": b"a", "deep/b.bin": bytes(range(256)) * 4000}
        line = agent_command("cat; ls -l files/a.txt", None, "files")
        done = subprocess.run(
            line, cwd=tmp_path, input=packed(files) + b"the case\n", capture_output=True, check=True
        )
        assert done.stdout.startswith(b"the case\n-r--r--r--")
        assert {name: (tmp_path / "files" / name).read_bytes() for name in files} == files

    def test_none_are_none(self, tmp_path: Path) -> None:
        done = subprocess.run(
            agent_command("cat", None, "files"),
            cwd=tmp_path,
            input=packed({}) + b"the case\n",
            capture_output=True,
            check=True,
        )
        assert done.stdout == b"the case\n"
        assert not (tmp_path / "files").exists()

    def test_where_they_cannot_be_placed_the_agent_does_not_start(self, tmp_path: Path) -> None:
        (tmp_path / "files").write_text("in the way")
        done = subprocess.run(
            agent_command("echo started", None, "files"),
            cwd=tmp_path,
            input=packed({"a": b"a"}),
            capture_output=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (73, b"")
        assert b"the files of the case cannot be placed" in done.stderr
