"""Which files of a project go into its agent's image."""

from pathlib import Path

import pytest

from pacabench.errors import ImageError
from pacabench.sandbox.docker.images.source import source_step
from pacabench.sandbox.docker.images.source_files import scan_source


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for name in (
        "agents/agent.py",
        "agents/__pycache__/agent.cpython-312.pyc",
        "data/cases.jsonl",
        "runs/1/results.jsonl",
        ".env",
        ".git/HEAD",
        "sub/.env",
        "sub/module/.git/config",
        "pacabench.yaml",
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return root


def paths(root: Path, *ignore: str) -> set[str]:
    tree = scan_source(root, ignore)
    return {entry.path for entry in tree.entries if entry.kind != "directory"}


class TestIgnoring:
    def test_secrets_history_and_byte_code_never_go_in(self, project: Path) -> None:
        assert paths(project) == {
            "agents/agent.py",
            "data/cases.jsonl",
            "runs/1/results.jsonl",
            "pacabench.yaml",
        }

    def test_no_pattern_brings_them_back(self, project: Path) -> None:
        assert ".env" not in paths(project, "!.env", "!.git")

    def test_patterns_are_those_of_gitignore(self, project: Path) -> None:
        (project / "agents" / "data").mkdir()
        (project / "agents" / "data" / "prompt.txt").write_text("")
        (project / "keep.log").write_text("")
        (project / "drop.log").write_text("")
        found = paths(project, "/data/", "runs/", "*.log", "!keep.log", "# a comment", "")
        assert found == {"agents/agent.py", "agents/data/prompt.txt", "keep.log", "pacabench.yaml"}

    def test_nothing_below_an_ignored_directory_comes_back(self, project: Path) -> None:
        assert "data/cases.jsonl" not in paths(project, "data/", "!data/cases.jsonl")

    def test_an_ignored_directory_leaves_no_trace(self, project: Path) -> None:
        tree = scan_source(project, ("data/",))
        assert "data" not in {entry.path for entry in tree.entries}

    def test_runs_stay_out_wherever_they_are_kept(self, project: Path) -> None:
        kept = project / "elsewhere" / "night"
        kept.mkdir(parents=True)
        (kept / "run.json").write_text("{}")
        (kept / "results.jsonl").write_text("expected answers")
        (project / "agents" / "run.json").write_text("somebody's own file")
        found = paths(project)
        assert not any(path.startswith("elsewhere") for path in found)
        assert "agents/run.json" in found

    def test_cassettes_stay_out_wherever_they_are_kept(self, project: Path) -> None:
        kept = project / "agents" / "tape"
        kept.mkdir()
        (kept / "cassette.json").write_text("{}")
        (kept / "index.jsonl").write_text("recorded answers")
        (project / "agents" / "index.jsonl").write_text("somebody's own file")
        found = paths(project)
        assert not any(path.startswith("agents/tape") for path in found)
        assert "agents/index.jsonl" in found

    def test_virtual_environments_stay_out_whatever_they_are_called(self, project: Path) -> None:
        (project / "env-of-mine").mkdir()
        (project / "env-of-mine" / "pyvenv.cfg").write_text("")
        (project / "env-of-mine" / "python").write_text("")
        assert not any(path.startswith("env-of-mine") for path in paths(project))


class TestLinks:
    def test_a_link_inside_stays_a_link(self, project: Path) -> None:
        (project / "main.py").symlink_to(project / "agents" / "agent.py")
        (entry,) = [e for e in scan_source(project, ()).entries if e.path == "main.py"]
        assert (entry.kind, entry.target) == ("link", "agents/agent.py")

    def test_a_link_out_of_the_source_is_left_out_and_named(
        self, project: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "secret").write_text("")
        (project / "up").symlink_to("../secret")
        (project / "absolute").symlink_to("/etc")
        tree = scan_source(project, ())
        assert tree.left_out == ("absolute", "up")
        assert not {"absolute", "up"} & {entry.path for entry in tree.entries}

    def test_a_chain_of_links_does_not_lead_out_either(self, project: Path) -> None:
        (project / "first").symlink_to("second")
        (project / "second").symlink_to("/etc/passwd")
        assert scan_source(project, ()).left_out == ("first", "second")

    def test_a_loop_is_left_out(self, project: Path) -> None:
        (project / "loop").symlink_to("loop")
        assert scan_source(project, ()).left_out == ("loop",)

    def test_a_source_that_is_itself_a_link_works(self, project: Path, tmp_path: Path) -> None:
        (project / "main.py").symlink_to("agents/agent.py")
        alias = tmp_path / "alias"
        alias.symlink_to(project)
        assert "main.py" in paths(alias)


class TestKey:
    def key(self, project: Path, *, before: str = "base", user: str = "1:1") -> str:
        return source_step(before, project, ("data/",), most_bytes=10**6, user=user).key

    def test_what_is_ignored_does_not_matter(self, project: Path) -> None:
        before = self.key(project)
        (project / "data" / "cases.jsonl").write_text("more")
        (project / ".env").write_text("KEY=other")
        (project / ".pytest_cache").mkdir()
        assert self.key(project) == before

    def test_code_matters(self, project: Path) -> None:
        before = self.key(project)
        (project / "agents" / "agent.py").write_text("changed")
        assert self.key(project) != before

    def test_what_it_stands_on_and_runs_as_matters(self, project: Path) -> None:
        keys = {
            self.key(project),
            self.key(project, before="other"),
            self.key(project, user="2:2"),
        }
        assert len(keys) == 3


class TestFaults:
    def test_a_source_that_is_too_big_names_its_largest_parts(self, project: Path) -> None:
        (project / "model.bin").write_bytes(bytes(2 * 1024**2))
        with pytest.raises(ImageError, match=r"2\.1 MB.*tmp_size.*'model\.bin' 2\.1 MB") as caught:
            source_step("base", project, (), most_bytes=1024**2, user="1:1")
        assert ".pacabenchignore" in str(caught.value)

    def test_sparse_small_files_count_with_their_pages(self, project: Path) -> None:
        for number in range(64):
            (project / f"{number}.txt").write_text("x")
        with pytest.raises(ImageError, match="tmp_size"):
            source_step("base", project, (), most_bytes=64 * 4096, user="1:1")

    def test_files_without_content_count_too(self, project: Path) -> None:
        for number in range(1100):
            (project / f"{number}.txt").touch()
        with pytest.raises(ImageError, match=r"1\d\d\d files.* takes 1024\..*raise `tmp_size`"):
            source_step("base", project, (), most_bytes=1024**2, user="1:1")
        source_step("base", project, (), most_bytes=8 * 1024**2, user="1:1")

    def test_python_counts_with_its_byte_code(self, project: Path) -> None:
        (project / "large.py").write_text("#" * 600_000)
        with pytest.raises(ImageError, match=r"1\.2 MB"):
            source_step("base", project, (), most_bytes=10**6, user="1:1")

    def test_no_directory(self, tmp_path: Path) -> None:
        with pytest.raises(ImageError, match="no directory"):
            source_step("base", tmp_path / "gone", (), most_bytes=1, user="1:1")

    def test_what_cannot_be_read_is_named(self, project: Path) -> None:
        with pytest.raises(ImageError, match=r"cannot read .*gone: No such file"):
            scan_source(project / "gone", ())
