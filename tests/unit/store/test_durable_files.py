"""Files that are on disk when it is said so, and errors that say what to do."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from pacabench.durable import sync_directory, sync_file, sync_tree
from pacabench.errors import JournalError
from pacabench.store.files import make_directory, read_regular, replace_file, write_new


class TestSyncFile:
    def test_uses_the_full_sync_of_macos(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[int] = []
        monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
        monkeypatch.setattr(fcntl, "fcntl", lambda fd, what: asked.append(what))
        monkeypatch.delattr(os, "fsync")
        with (tmp_path / "x").open("wb") as file:
            sync_file(file.fileno())
        assert asked == [51]

    def test_falls_back_where_a_file_system_does_not_know_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        synced: list[int] = []

        def unknown(fd: int, what: int) -> None:
            raise OSError(errno.ENOTSUP, "not supported")

        monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
        monkeypatch.setattr(fcntl, "fcntl", unknown)
        monkeypatch.setattr(os, "fsync", synced.append)
        with (tmp_path / "x").open("wb") as file:
            sync_file(file.fileno())
            assert synced == [file.fileno()]


class TestSyncDirectory:
    def test_accepts_file_systems_that_cannot(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(fd: int) -> None:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(os, "fsync", fail)
        code = errno.EINVAL
        sync_directory(tmp_path)
        code = errno.EIO
        with pytest.raises(OSError, match="Input/output"):
            sync_directory(tmp_path)

    def test_new_directories_are_synced_into_their_parents(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        synced: list[str] = []
        monkeypatch.setattr(
            os, "fsync", lambda fd: synced.append(Path(f"/proc/self/fd/{fd}").readlink().name)
        )
        make_directory(tmp_path / "a" / "b")
        assert (tmp_path / "a" / "b").is_dir()
        assert synced == [tmp_path.name, "a"]
        make_directory(tmp_path / "a" / "b")
        assert len(synced) == 2


class TestReplaceFile:
    def test_puts_content_on_disk_before_the_name_and_the_name_before_it_returns(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        steps: list[str] = []
        fsync, replace = os.fsync, Path.replace

        def note_sync(fd: int) -> None:
            steps.append(f"sync {Path(f'/proc/self/fd/{fd}').readlink().name}")
            fsync(fd)

        def note_replace(self: Path, target: Path) -> Path:
            steps.append(f"rename to {target.name}")
            return replace(self, target)

        monkeypatch.setattr(os, "fsync", note_sync)
        monkeypatch.setattr(Path, "replace", note_replace)
        replace_file(tmp_path / "run.json", b"{}")
        assert steps == ["sync .run.json.new", "rename to run.json", f"sync {tmp_path.name}"]
        assert (tmp_path / "run.json").read_bytes() == b"{}"


class TestErrors:
    def test_a_name_that_is_taken_is_not_written_over(self, tmp_path: Path) -> None:
        write_new(tmp_path / "x", b"old")
        with pytest.raises(JournalError, match="File exists"):
            write_new(tmp_path / "x", b"new")
        assert read_regular(tmp_path / "x", 10) == b"old"

    @pytest.mark.parametrize(
        ("code", "hint"),
        [
            (errno.ENOSPC, "Make room"),
            (errno.EDQUOT, "Make room"),
            (errno.EROFS, "mounted read-only"),
            (errno.EIO, "disk reports a fault"),
            (errno.EACCES, "who owns it"),
        ],
    )
    def test_say_what_to_do(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, hint: str
    ) -> None:
        def fail(fd: int, content: bytes) -> int:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(os, "write", fail)
        with pytest.raises(JournalError, match=hint) as raised:
            write_new(tmp_path / "x", b"content")
        assert os.strerror(code) in str(raised.value)
        assert str(tmp_path / "x") in str(raised.value)


class TestTree:
    @pytest.fixture
    def tree(self, tmp_path: Path) -> Path:
        root = tmp_path / "tree"
        (root / "inner").mkdir(parents=True)
        (root / "one").write_text("1")
        (root / "inner" / "two").write_text("2")
        (root / "link").symlink_to(tmp_path / "elsewhere")
        os.mkfifo(root / "pipe")
        return root

    def test_every_file_is_synced_and_each_directory_after_what_is_in_it(
        self, tree: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        synced: list[str] = []
        monkeypatch.setattr(
            os, "fsync", lambda fd: synced.append(Path(f"/proc/self/fd/{fd}").readlink().name)
        )
        sync_tree(tree)
        assert sorted(synced) == ["inner", "one", "tree", "two"]
        assert synced.index("two") < synced.index("inner") < synced.index("tree")
        assert synced[-1] == "tree"

    def test_what_cannot_be_read_is_an_error(self, tree: Path) -> None:
        with pytest.raises(OSError, match="nowhere"):
            sync_tree(tree / "nowhere")
