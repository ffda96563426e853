"""Images of real databases, made of Debian packages where no registry has them; kept for the next.

Removed with ``docker image rm $(docker image ls -q 'pacabench-test/*')``.
"""

import fcntl
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

_HOOKS = "/usr/share/mmdebstrap/hooks/merged-usr"
_LEFT_OUT = ("share/man/*", "share/locale/*", "share/doc/*", "lib/*/libLLVM*")
_VERSION = "1"


def redis_image(cache_dir: Path) -> str:
    """An image with ``redis-server`` and ``redis-cli``."""
    return _image(cache_dir, "redis", ["redis-server"], elsewhere="redis:7-alpine")


def postgres_image(cache_dir: Path) -> str:
    """An image with PostgreSQL 15, and what ``initdb`` needs to run as a uid without a name."""
    return _image(cache_dir, "postgres", ["postgresql-15", "libnss-wrapper"])


def _image(cache_dir: Path, name: str, packages: list[str], *, elsewhere: str | None = None) -> str:
    tag = f"pacabench-test/{name}:{_VERSION}"
    with (cache_dir / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of the workers that run tests one makes it
        if _has(tag):
            return tag
        if shutil.which("mmdebstrap") is not None:
            _make(tag, packages)
            return tag
        if elsewhere is not None and (_has(elsewhere) or _ran("docker", "pull", "-q", elsewhere)):
            return elsewhere
    pytest.skip(f"no {name} can be had here: install mmdebstrap, which makes it of packages")


def _has(tag: str) -> bool:
    return _ran("docker", "image", "inspect", tag)


def _ran(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _make(tag: str, packages: list[str]) -> None:
    bootstrap = [
        "mmdebstrap",
        "--quiet",
        "--variant=minbase",
        f"--include={','.join([*packages, 'usr-is-merged'])}",
        f"--hook-dir={_HOOKS}",
        '--aptopt=APT::Install-Recommends "false"',
        '--aptopt=Acquire::Languages "none"',
        *(f"--dpkgopt=path-exclude=/usr/{path}" for path in _LEFT_OUT),
        "bookworm",
        "-",
    ]
    take = ["docker", "import", "--change", "LABEL pacabench.test=database", "-", tag]
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(bootstrap, stdout=subprocess.PIPE, stderr=said) as making,
    ):
        taken = subprocess.run(take, stdin=making.stdout, capture_output=True, check=False)
        making.wait()
        said.seek(0)
        assert making.returncode == 0, said.read().decode()
    assert taken.returncode == 0, taken.stderr.decode()
