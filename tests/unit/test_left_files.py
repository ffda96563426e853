"""Files of an agent's: found without following anything, packed, and read back with limits."""

import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacabench.keeper_script import fits, take_in
from pacabench.left_files import LeftFiles, Wanted, is_safe_name, pack_left, unpack_left
from pacabench.sandbox.kept import KeeperError, collect, read_left

ALL = Wanted(("**",))


@pytest.mark.parametrize(
    ("pattern", "fitting", "others"),
    [
        ("*.py", ["a.py"], ["b/a.py", "a.pyc"]),
        ("**/*.py", ["a.py", "b/c/a.py"], ["a.txt"]),
        ("out", ["out", "out/x/y"], ["outer", "b/out"]),
        ("out/", ["out/x"], ["outer"]),
        ("out/**", ["out/x", "out/x/y"], ["out"]),
        ("a/**/z", ["a/z", "a/b/c/z"], ["b/z", "a/b"]),
        ("**/out", ["x/out/f", "out"], ["x/in"]),
        ("a/?", ["a/b"], ["a/bc"]),
        ("**", ["a", "a/b/c"], []),
        ("**/**/x", ["x", "q/x"], ["q"]),
    ],
)
def test_patterns(pattern: str, fitting: list[str], others: list[str]) -> None:
    assert all(fits(pattern, tuple(name.split("/"))) for name in fitting)
    assert not any(fits(pattern, tuple(name.split("/"))) for name in others)


@pytest.mark.parametrize(
    "name", ["", "/etc", "../a", "a/../b", "a//b", "./a", "a\nb", "a" * 2000, "a/" * 40 + "b"]
)
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    assert not is_safe_name(name)


class TestCollect:
    def test_nothing_but_regular_files_is_opened(self, tmp_path: Path) -> None:
        work = tmp_path / "work"
        work.mkdir()
        (tmp_path / "secret").write_text("s")
        (work / "a").write_text("1")
        (work / "link").symlink_to(tmp_path / "secret")
        (work / "folder").symlink_to(tmp_path)
        os.mkfifo(work / "pipe")
        left = collect(work, ALL)
        assert left.files == {"a": b"1"}
        assert left.left_out == tuple(
            f"{name}: no regular file" for name in ("folder", "link", "pipe")
        )

    def test_of_a_directory_that_is_gone_there_are_none(self, tmp_path: Path) -> None:
        left = collect(tmp_path / "removed", ALL)
        assert left == LeftFiles(("**",), {}, ("the work directory: No such file or directory",))

    def test_what_is_too_much_is_named(self, tmp_path: Path) -> None:
        for name, size in {"a": 10, "b": 100, "c": 10}.items():
            (tmp_path / name).write_bytes(b"x" * size)
        left = collect(tmp_path, Wanted(("**",), most_bytes=20))
        assert list(left.files) == ["a", "c"]
        assert left.left_out == ("b: more than 20 bytes with those before it",)
        left = collect(tmp_path, Wanted(("**",), most_files=1))
        assert list(left.files) == ["a"]
        assert left.left_out == ("b: more than 1 files", "c: more than 1 files")

    def test_names_that_cannot_be_shown_are_escaped(self, tmp_path: Path) -> None:
        (tmp_path / "a\x1b[31m").write_text("")
        (tmp_path / os.fsdecode(b"b\xff")).write_text("")
        left = collect(tmp_path, ALL)
        assert not left.files
        assert all(name.isprintable() and name.isascii() for name in left.left_out)
        assert len(left.left_out) == 2

    def test_the_list_of_what_was_left_out_has_an_end(self, tmp_path: Path) -> None:
        for number in range(100):
            (tmp_path / f"l{number}").symlink_to("x")
        left = collect(tmp_path, ALL)
        assert len(left.left_out) == 21
        assert left.left_out[-1] == "and 80 more"


@given(st.dictionaries(st.sampled_from(["a", "b/c", "d é", "e" * 300]), st.binary(max_size=2000)))
def test_packed_and_unpacked_is_the_same(files: dict[str, bytes]) -> None:
    left = LeftFiles(("*",), files, ("x: no regular file",))
    assert unpack_left(pack_left(left)) == left


@given(st.binary(max_size=3000), st.integers(0, 3000))
def test_damage_is_an_error_of_its_own(noise: bytes, place: int) -> None:
    good = pack_left(LeftFiles(("*",), {"a": b"1" * 700, "b": b"2"}))
    for data in (noise, good[:place] + noise + good[place:], good[:place]):
        try:
            unpack_left(data)
        except ValueError:
            continue


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_another_tar_is_refused(kind: bytes) -> None:
    buffer = io.BytesIO(pack_left(LeftFiles(("*",), {})))
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        entry = tarfile.TarInfo("files/x")
        entry.type, entry.linkname = kind, "/etc/passwd"
        archive.addfile(entry)
    with pytest.raises(ValueError, match="something else"):
        unpack_left(buffer.getvalue())


def test_a_pattern_that_nobody_looked_for_is_refused() -> None:
    left = LeftFiles(("*.py", "out"), {"a.py": b"", "out/b": b""})
    assert list(left.choose(("out",)).files) == ["out/b"]
    with pytest.raises(
        ValueError, match=r"\*\*: not looked for in this run, which kept \*.py, out"
    ):
        left.choose(("**",))


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"no json\n",
        b'{"files": [["../a", 1]], "left_out": []}\nx',
        b'{"files": [["a", -1]], "left_out": []}\n',
        b'{"files": [["a", 99999999999]], "left_out": []}\n',
        b'{"files": [["a", 1], ["a", 1]], "left_out": []}\nxx',
        b'{"files": [["a", 5]], "left_out": []}\nx',
        b'{"files": 7, "left_out": []}\n',
    ],
)
def test_a_keeper_that_says_something_else_is_not_believed(said: bytes) -> None:
    with pytest.raises(KeeperError):
        read_left(io.BytesIO(said), ALL)


def test_scripts_that_are_taken_in_can_be_started(tmp_path: Path) -> None:
    root = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        take_in(root, [("a/run.sh", 2, True), ("a/rows", 1, False)], io.BytesIO(b"#!1"))
    finally:
        os.close(root)
    assert (tmp_path / "a/run.sh").read_bytes() == b"#!"
    assert os.access(tmp_path / "a/run.sh", os.X_OK)
    assert not os.access(tmp_path / "a/rows", os.X_OK)


def test_a_flipped_byte_in_a_file_or_its_head_is_never_taken_for_what_was_left() -> None:
    left = LeftFiles(("*",), {"a": b"1" * 600, "b": b"2" * 10}, ("c: too large",))
    good = pack_left(left)
    with tarfile.open(fileobj=io.BytesIO(good)) as archive:
        spans = [(it.offset_data, it.size) for it in archive if it.name != "left.json"]
    for start, size in spans:
        for place in (start - 500, start - 380, start - 360, start, start + size - 1):
            bad = good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :]
            with pytest.raises(ValueError, match=r"damaged|no tar|something else"):
                unpack_left(bad)


def test_files_of_a_version_that_kept_no_sums_are_read() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in (
            ("left.json", b'{"patterns":["*"],"left_out":[]}'),
            ("files/a", b"1"),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    assert unpack_left(buffer.getvalue()) == LeftFiles(("*",), {"a": b"1"})
