"""A directory's tar: the same bytes for the same files, other bytes for other files."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from pacabench.errors import ImageError
from pacabench.sandbox.docker.images.tree import pack, scan_all, scan_paths


def digest(root: Path) -> str:
    return pack([("", scan_all(root))])


def packed(root: Path, prefix: str = "") -> tarfile.TarFile:
    sink = io.BytesIO()
    pack([(prefix, scan_all(root))], into=sink)
    sink.seek(0)
    return tarfile.open(fileobj=sink)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "tree"
    (path / "package").mkdir(parents=True)
    (path / "package" / "__init__.py").write_text("")
    (path / "main.py").write_text("print(1)")
    return path


class TestDeterminism:
    def test_times_owners_and_umask_do_not_matter(self, root: Path) -> None:
        before = digest(root)
        os.utime(root / "main.py", (1, 1))
        (root / "main.py").chmod(0o600)
        assert digest(root) == before

    def test_a_copy_elsewhere_made_in_another_order_is_the_same(
        self, root: Path, tmp_path: Path
    ) -> None:
        copy = tmp_path / "copy"
        copy.mkdir()
        (copy / "main.py").write_text("print(1)")
        (copy / "package").mkdir()
        (copy / "package" / "__init__.py").write_text("")
        assert digest(copy) == digest(root)

    def test_content_matters(self, root: Path) -> None:
        before = digest(root)
        (root / "main.py").write_text("print(2)")
        assert digest(root) != before

    def test_names_matter(self, root: Path) -> None:
        before = digest(root)
        (root / "main.py").rename(root / "other.py")
        assert digest(root) != before

    def test_the_right_to_execute_matters(self, root: Path) -> None:
        before = digest(root)
        (root / "main.py").chmod(0o755)
        assert digest(root) != before

    def test_a_link_is_not_the_file_it_leads_to(self, root: Path) -> None:
        (root / "copy.py").write_text("print(1)")
        before = digest(root)
        (root / "copy.py").unlink()
        (root / "copy.py").symlink_to("main.py")
        assert digest(root) != before

    def test_the_hash_alone_is_that_of_the_written_tar(self, root: Path) -> None:
        tree = scan_all(root)
        assert pack([("", tree)]) == pack([("", tree)], into=io.BytesIO())


class TestWhatIsWritten:
    def test_directories_come_before_what_is_in_them(self, root: Path) -> None:
        (root / "package!").write_text("sorts between the directory and its files as plain text")
        names = packed(root, "agent/").getnames()
        assert names.index("agent/package") < names.index("agent/package/__init__.py")
        assert names[0] == "agent"

    def test_every_uid_can_read(self, root: Path) -> None:
        (root / "main.py").chmod(0o700)
        (root / "package" / "__init__.py").chmod(0o600)
        (root / "package").chmod(0o700)
        modes = {member.name: member.mode for member in packed(root)}
        assert modes == {"main.py": 0o755, "package": 0o755, "package/__init__.py": 0o644}

    def test_owner_and_time_are_fixed(self, root: Path) -> None:
        facts = {(item.uid, item.gid, item.uname, item.mtime) for item in packed(root, "agent/")}
        assert facts == {(0, 0, "", 315532800)}

    def test_long_and_undecodable_names_survive(self, root: Path) -> None:
        long = "n" * 200
        odd = os.fsdecode(b"caf\xe9.txt")
        (root / long).write_text("")
        (root / odd).write_text("")
        assert {long, odd} <= set(packed(root).getnames())

    def test_sockets_and_pipes_stay_out(self, root: Path) -> None:
        os.mkfifo(root / "pipe")
        assert "pipe" not in packed(root).getnames()

    def test_own_modes_where_they_are_asked_for(self, root: Path) -> None:
        (root / "main.py").chmod(0o640)
        tree = scan_paths(root, ["main.py"], lambda mode: mode & 0o7777)
        assert tree.entries[0].mode == 0o640


class TestFaults:
    def test_a_file_that_shrank_meanwhile_is_named(self, root: Path) -> None:
        tree = scan_all(root)
        (root / "main.py").write_text("")
        with pytest.raises(ImageError, match=r"main\.py"):
            pack([("", tree)])

    def test_a_file_that_is_gone_is_named(self, root: Path) -> None:
        tree = scan_all(root)
        (root / "main.py").unlink()
        with pytest.raises(ImageError, match=r"main\.py.*No such file"):
            pack([("", tree)])


def test_size_counts_whole_pages(root: Path) -> None:
    assert scan_all(root).size_bytes == 4096
