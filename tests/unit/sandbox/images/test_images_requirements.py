"""When requirements are installed anew."""

from pathlib import Path

import pytest

from pacabench.errors import ImageError
from pacabench.sandbox.docker.images.requirement_files import requirement_files
from pacabench.sandbox.docker.images.requirements import requirements_step


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "deep").mkdir()
    (tmp_path / "requirements.txt").write_text("-r deep/more.txt\n--constraint=pins.txt\nopenai\n")
    (tmp_path / "deep" / "more.txt").write_text("  -r  ../last.txt\nrequests\n")
    (tmp_path / "last.txt").write_text("-r requirements.txt\nattrs\n")
    (tmp_path / "pins.txt").write_text("openai==1.0\n")
    return tmp_path / "requirements.txt"


def key(file: Path, *, before: str = "base", user: str | None = None) -> str:
    return requirements_step(before, file, user=user).key


def test_included_files_are_found_once_each(file: Path) -> None:
    names = [path.name for path in requirement_files(file)]
    assert names == ["requirements.txt", "more.txt", "last.txt", "pins.txt"]


@pytest.mark.parametrize("name", ["requirements.txt", "deep/more.txt", "last.txt", "pins.txt"])
def test_each_of_them_matters(file: Path, name: str) -> None:
    before = key(file)
    (file.parent / name).write_text((file.parent / name).read_text() + "# changed\n")
    assert key(file) != before


def test_where_the_project_lies_does_not_matter(file: Path, tmp_path: Path) -> None:
    before = key(file)
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("requirements.txt", "deep", "last.txt", "pins.txt"):
        (tmp_path / name).rename(moved / name)
    assert key(moved / "requirements.txt") == before


def test_what_it_stands_on_matters(file: Path) -> None:
    assert len({key(file), key(file, before="other"), key(file, user="1:1")}) == 3


def test_an_unchanged_file_gives_the_same_key(file: Path) -> None:
    assert key(file) == key(file)


def test_a_missing_file_is_named(file: Path) -> None:
    (file.parent / "last.txt").unlink()
    with pytest.raises(ImageError, match=r"last\.txt"):
        key(file)


def test_a_wheel_of_the_project_matters(file: Path) -> None:
    file.write_text("./vendor/own.whl ; python_version > '3'\n")
    (file.parent / "vendor").mkdir()
    (file.parent / "vendor" / "own.whl").write_bytes(b"1")
    before = key(file)
    (file.parent / "vendor" / "own.whl").write_bytes(b"2")
    assert key(file) != before


def test_other_indexes_are_no_files(file: Path) -> None:
    file.write_text("-r https://index.example/requirements.txt\n")
    assert len(requirement_files(file)) == 1
