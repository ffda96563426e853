"""Repositories as data: pinned, cached, and never trusted."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pacabench.datasets.base import Dataset
from pacabench.datasets.git import GitSource
from pacabench.errors import DatasetError

Open = Callable[..., Dataset]
QUIET = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}


class Repository:
    """A repository that a test makes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *words: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@t"]
        done = subprocess.run(
            ["git", *identity, *words],
            cwd=self.folder,
            env=QUIET,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def commit(self, content: str, file: str = "test.jsonl") -> str:
        path = self.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", "x")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "there" / "data")


def inputs(dataset: Dataset) -> list[object]:
    return [case.input for case in dataset.cases]


class TestAddress:
    @pytest.mark.parametrize(
        ("text", "parts"),
        [
            ("https://h/o/x.git", ("https://h/o/x.git", None, "")),
            ("https://h/o/x.git@v1", ("https://h/o/x.git", "v1", "")),
            (
                "https://h/o/x.git@feature/y#a/b.jsonl",
                ("https://h/o/x.git", "feature/y", "a/b.jsonl"),
            ),
            ("https://h/o/x@v1#a", ("https://h/o/x", "v1", "a")),
            ("https://me@h/o/x", ("https://me@h/o/x", None, "")),
            ("git@h:o/x.git", ("git@h:o/x.git", None, "")),
            ("git@h:o/x.git@v1", ("git@h:o/x.git", "v1", "")),
            ("git@h:x", ("git@h:x", None, "")),
            ("../x@v1", ("../x", "v1", "")),
        ],
    )
    def test_is_read(self, text: str, parts: tuple[str, str | None, str]) -> None:
        source = GitSource.parse(text)
        assert (source.url, source.ref, source.path) == parts

    @pytest.mark.parametrize(
        "text",
        ["", "@v1", "--upload-pack=touch x", "https://h/x.git@--x", "https://h/x.git@a b",
         "https://h/x.git#../y", "https://h/x.git#/etc"],
    )  # fmt: skip
    def test_what_would_be_an_option_or_lead_out_is_refused(self, text: str) -> None:
        with pytest.raises(DatasetError):
            GitSource.parse(text)

    def test_a_program_in_a_url_is_not_run(self, open_set: Open, tmp_path: Path) -> None:
        with pytest.raises(DatasetError):
            open_set(f"git:ext::sh -c touch% {tmp_path}/ran")
        assert not (tmp_path / "ran").exists()


class TestPinning:
    def test_a_branch_is_what_it_is_now(self, open_set: Open, repository: Repository) -> None:
        first = repository.commit('{"input": 1}\n')
        source = f"git:{repository.folder}@main#test.jsonl"
        dataset = open_set(source)
        assert (inputs(dataset), dataset.revision) == ([1], first)
        second = repository.commit('{"input": 2}\n')
        dataset = open_set(source)
        assert (inputs(dataset), dataset.revision) == ([2], second)

    def test_a_pinned_commit_is_what_it_was(self, open_set: Open, repository: Repository) -> None:
        first = repository.commit('{"input": 1}\n')
        repository.commit('{"input": 2}\n')
        dataset = open_set(f"git:{repository.folder}@main", revision=first)
        assert (inputs(dataset), dataset.revision) == ([1], first)

    @pytest.mark.parametrize("ref", ["tag", "commit"])
    def test_tags_and_commits(self, open_set: Open, repository: Repository, ref: str) -> None:
        first = repository.commit('{"input": 1}\n')
        repository.git("tag", "v1")
        repository.commit('{"input": 2}\n')
        named = "v1" if ref == "tag" else first
        assert inputs(open_set(f"git:{repository.folder}@{named}")) == [1]

    def test_a_commit_that_the_server_does_not_give_out_alone(
        self, open_set: Open, repository: Repository
    ) -> None:
        first = repository.commit('{"input": 1}\n')
        repository.commit('{"input": 2}\n')
        repository.git("config", "uploadpack.allowAnySHA1InWant", "false")
        assert inputs(open_set(f"git:file://{repository.folder}@{first}")) == [1]

    def test_what_is_not_there_is_named(self, open_set: Open, repository: Repository) -> None:
        repository.commit('{"input": 1}\n')
        with pytest.raises(DatasetError, match=r"'nope' cannot be fetched\s+fatal: couldn't find"):
            open_set(f"git:{repository.folder}@nope")
        with pytest.raises(DatasetError, match=r"f{40} cannot be fetched"):
            open_set(f"git:{repository.folder}@{'f' * 40}")


class TestCache:
    def test_serves_where_the_repository_cannot_be_reached(
        self, open_set: Open, repository: Repository
    ) -> None:
        commit = repository.commit('{"input": 1}\n')
        source = f"git:{repository.folder}"
        assert open_set(source).notices == ()
        repository.folder.rename(repository.folder.with_name("gone"))
        dataset = open_set(source)
        assert inputs(dataset) == [1]
        assert f"commit {commit[:12]} of the cache is used" in dataset.notices[0]
        assert open_set(source, revision=commit).notices == ()

    def test_two_repositories_of_the_same_name_do_not_collide(
        self, open_set: Open, tmp_path: Path
    ) -> None:
        for number in (1, 2):
            Repository(tmp_path / str(number) / "data").commit(f'{{"input": {number}}}\n')
        assert inputs(open_set(f"git:{tmp_path}/1/data")) == [1]
        assert inputs(open_set(f"git:{tmp_path}/2/data")) == [2]

    def test_a_relative_address_starts_at_the_project(
        self, open_set: Open, repository: Repository
    ) -> None:
        repository.commit('{"input": 1}\n')
        assert inputs(open_set("git:../there/data")) == [1]

    def test_a_password_is_not_shown(self, open_set: Open) -> None:
        with pytest.raises(DatasetError) as caught:
            open_set("git:http://me:hush@127.0.0.1:9/x.git")
        assert "hush" not in str(caught.value)


class TestTrust:
    def test_a_link_does_not_lead_out(
        self, open_set: Open, repository: Repository, tmp_path: Path
    ) -> None:
        (tmp_path / "secret.jsonl").write_text('{"input": "secret"}\n')
        (repository.folder / "test.jsonl").symlink_to(tmp_path / "secret.jsonl")
        repository.git("add", "--all")
        repository.git("commit", "--quiet", "-m", "x")
        with pytest.raises(DatasetError) as caught:
            open_set(f"git:{repository.folder}#test.jsonl")
        assert '"secret"' not in str(caught.value)

    def test_no_hook_runs(self, open_set: Open, repository: Repository, tmp_path: Path) -> None:
        hook = tmp_path / "template" / "hooks" / "post-checkout"
        hook.parent.mkdir(parents=True)
        hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        hook.chmod(0o755)
        repository.commit('{"input": 1}\n')
        environ = {**QUIET, "GIT_TEMPLATE_DIR": str(hook.parents[1])}
        assert inputs(open_set(f"git:{repository.folder}", environ=environ)) == [1]
        assert not (tmp_path / "ran").exists()


class TestPrepare:
    COMMAND = (
        'echo ran >> log; test ! -e "$PACABENCH_DATASET_PATH/set.jsonl" && '
        'cd "$PACABENCH_DATASET_PATH" && sed s/raw/input/ deep/raw.txt > set.jsonl'
    )

    def test_makes_a_copy_once_for_each_commit(
        self, open_set: Open, repository: Repository, tmp_path: Path
    ) -> None:
        repository.commit('{"raw": 1}\n', "deep/raw.txt")
        source = f"git:{repository.folder}"
        for _ in range(2):
            assert inputs(open_set(source, prepare=self.COMMAND)) == [1]
        log = tmp_path / "project" / "log"
        assert log.read_text() == "ran\n"
        repository.commit('{"raw": 2}\n', "deep/raw.txt")
        assert inputs(open_set(source, prepare=self.COMMAND)) == [2]
        assert log.read_text() == "ran\nran\n"
        with pytest.raises(DatasetError, match="none"):
            open_set(source)  # the checkout itself was not touched

    def test_one_that_failed_leaves_nothing_behind(
        self, open_set: Open, repository: Repository
    ) -> None:
        repository.commit("", "deep/raw.txt")
        source = f"git:{repository.folder}"
        bad = 'echo half > "$PACABENCH_DATASET_PATH/half.jsonl"; test -e ok'
        with pytest.raises(DatasetError, match="prepare failed with exit code 1"):
            open_set(source, prepare=bad)
        with pytest.raises(DatasetError, match="prepare failed with exit code 1"):
            open_set(source, prepare=bad)


class TestSubmodules:
    MODULES = '[submodule "x"]\n\tpath = third/party\n\turl = ../x.git\n'

    def test_are_said_not_to_be_fetched(self, open_set: Open, repository: Repository) -> None:
        repository.commit(self.MODULES, ".gitmodules")
        repository.commit('{"input": 1}\n')
        dataset = open_set(f"git:file://{repository.folder}#test.jsonl")
        assert any(text.endswith("not fetched: third/party") for text in dataset.notices)

    def test_are_no_place_for_rows(self, open_set: Open, repository: Repository) -> None:
        repository.commit(self.MODULES, ".gitmodules")
        with pytest.raises(DatasetError, match="lies in the submodule third/party"):
            open_set(f"git:file://{repository.folder}#third/party/test.jsonl")


class TestPowerCut:
    """What has its name in the cache is on disk: nothing counts that a power cut could empty."""

    @pytest.fixture
    def order(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        found: list[str] = []
        rename, touch = Path.rename, Path.touch

        def note_rename(path: Path, target: Path) -> Path:
            found.append("named")
            return rename(path, target)

        def note_touch(path: Path, *more: object) -> None:
            found.append("named")
            touch(path)

        monkeypatch.setattr(
            os, "fsync", lambda fd: found.append(Path(f"/proc/self/fd/{fd}").readlink().name)
        )
        monkeypatch.setattr(Path, "rename", note_rename)
        monkeypatch.setattr(Path, "touch", note_touch)
        return found

    def test_of_a_checkout(self, open_set: Open, repository: Repository, order: list[str]) -> None:
        repository.commit('{"input": 1}\n')
        open_set(f"git:{repository.folder}#test.jsonl")
        before, after = order[: order.index("named")], order[order.index("named") :]
        assert before[-2:] == ["test.jsonl", "tree"]
        assert after[1].startswith("data-")

    def test_of_a_copy_that_is_prepared(
        self, open_set: Open, repository: Repository, order: list[str]
    ) -> None:
        repository.commit('{"input": 1}\n')
        command = "cp $PACABENCH_DATASET_PATH/test.jsonl $PACABENCH_DATASET_PATH/more.jsonl"
        open_set(
            f"git:{repository.folder}#more.jsonl", prepare={"command": command, "where": "host"}
        )
        done = len(order) - 1 - order[::-1].index("named")
        assert "more.jsonl" in order[:done]
        assert order[done + 1 :] == ["prepared"]
