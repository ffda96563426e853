"""The Dockerfiles are found in a checkout and in an installed wheel."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pacabench
from pacabench.errors import ImageError
from pacabench.sandbox.docker.images.resources import content_key, images_dir, read_resource

PACKAGE = Path(pacabench.__file__).parent


def find_in(site: Path) -> subprocess.CompletedProcess[str]:
    """What an interpreter says that imports pacabench from ``site``."""
    code = (
        "from pacabench.sandbox.docker.images.resources import images_dir, read_resource\n"
        "print(images_dir()); print(len(read_resource('sidecar/Dockerfile')))"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=site,
        env={**os.environ, "PYTHONPATH": str(site)},
    )


class TestLookup:
    def test_in_a_checkout(self) -> None:
        assert images_dir() == PACKAGE.parent / "images"

    def test_in_an_installed_wheel(self, tmp_path: Path) -> None:
        shutil.copytree(PACKAGE, tmp_path / "pacabench")
        shutil.copytree(PACKAGE.parent / "images", tmp_path / "pacabench" / "_images")
        found = find_in(tmp_path)
        assert found.stdout.splitlines()[:1] == [str(tmp_path / "pacabench" / "_images")]
        assert found.returncode == 0, found.stderr

    def test_a_broken_installation_says_so(self, tmp_path: Path) -> None:
        shutil.copytree(PACKAGE, tmp_path / "pacabench")
        assert "ImageError: this installation of PacaBench lacks" in find_in(tmp_path).stderr

    def test_a_missing_file_is_named(self) -> None:
        with pytest.raises(ImageError, match="sidecar/nothing"):
            read_resource("sidecar/nothing")

    def test_everything_that_the_code_asks_for_is_there(self) -> None:
        for name in (
            "agent-python/Dockerfile",
            "agent-python/add_site.py",
            "agent-python/describe.py",
            "agent-python/pip.Dockerfile",
            "agent-python/requirements.Dockerfile",
            "agent-python/run.sh",
            "agent-python/setup.Dockerfile",
            "base-debian/make-base.sh",
            "sidecar/Dockerfile",
        ):
            assert read_resource(name)


class TestContentKey:
    def test_parts_are_kept_apart(self) -> None:
        assert content_key("ab", "c") != content_key("a", "bc")
        assert content_key("a") != content_key("a", "")

    def test_the_same_parts_give_the_same_tag(self) -> None:
        assert content_key("a", b"b") == content_key("a", "b")
        assert len(content_key()) == 32
