"""``git:URL[@ref][#path]``: a repository, fetched with git itself and pinned to a commit.

A repository is data and not trusted: nothing of it is run, its links are plain files, and it is
read from a checkout of its own below the cache, one per commit.
"""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pacabench.config.masking import mask
from pacabench.datasets.base import Place, printable
from pacabench.datasets.command import Ended, locked, run_command
from pacabench.durable import sync_directory, sync_tree
from pacabench.errors import DatasetError

TIMEOUT_S = 3600.0
_SUBMODULE = re.compile(r"^\s*path\s*=\s*(.+?)\s*$", re.MULTILINE)
_MODULES_BYTES = 64 * 1024
_SHOWN_MODULES = 5
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|[^/]+@[^/]+:|[A-Za-z0-9.-]+:(?!//)")
_SAFE = (
    "-c", "core.hooksPath=/dev/null",
    "-c", "core.symlinks=false",
    "-c", "core.fsmonitor=false",
    "-c", "protocol.ext.allow=never",
    "-c", "advice.detachedHead=false",
    "-c", "gc.auto=0",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class GitSource:
    """What stands behind ``git:``."""

    url: str
    ref: str | None
    """A branch, a tag or a commit; None: what the repository has as its HEAD."""
    path: str
    """In the repository; empty: all of it."""

    @classmethod
    def parse(cls, text: str) -> "GitSource":
        """Read ``URL[@ref][#path]``.

        An ``@`` parts the ref after ``.git``, or after the last ``/`` of the URL: before, it is
        the user's name.

        Raises:
            DatasetError: a part is missing or not safe to hand to git.
        """
        address, _, path = text.partition("#")
        head, dot_git, tail = address.rpartition(".git@")
        if dot_git:
            url, ref = f"{head}.git", tail
        else:
            slash = address.rfind("/")
            name, _, ref = address[slash + 1 :].partition("@")
            url = address[: slash + 1] + name
            if slash < 0 and _ADDRESS.match(address):
                url, ref = address, ""
        if (
            not url
            or url.startswith("-")
            or ref.startswith("-")
            or any(c in ref for c in " ~^:?*[")
        ):
            raise DatasetError(f"source git:{mask(text, ())}: must be git:URL[@ref][#path]")
        if path.startswith("/") or ".." in PurePosixPath(path).parts:
            raise DatasetError(f"source git:{mask(text, ())}: the path leads out of the repository")
        return cls(url, ref or None, path)

    @property
    def shown(self) -> str:
        """For messages: without a password."""
        return printable(f"git:{mask(self.url, ())}")


@dataclass(frozen=True, slots=True)
class Checkout:
    """The files of one commit. Never changed: others read them too."""

    folder: Path
    commit: str
    notices: tuple[str, ...] = ()


def open_git(source: GitSource, place: Place) -> Checkout:
    """The files of ``source`` at ``place.revision``, or else at what its ref names now.

    Where the repository cannot be reached, what was fetched earlier serves, and a notice says so.
    A commit that the cache has needs no network.

    Raises:
        DatasetError: it cannot be fetched, and the cache does not have it.
    """
    return _Repository(source, place).checkout()


class _Repository:
    """One repository in the cache. By its whole address: two may have the same name."""

    def __init__(self, source: GitSource, place: Place) -> None:
        self._source = source
        self._place = place
        local = not _ADDRESS.match(source.url)
        self._url = str((place.project / source.url).resolve()) if local else source.url
        name = re.sub(r"[^A-Za-z0-9-]+", "-", PurePosixPath(self._url).stem)[:40]
        digest = hashlib.sha256(self._url.encode()).hexdigest()[:16]
        self._folder = place.cache / "git" / f"{name}-{digest}"
        self._bare = self._folder / "repository.git"

    def checkout(self) -> Checkout:
        if shutil.which("git") is None:
            raise DatasetError(f"{self._source.shown}: git is not installed")
        try:
            with locked(
                self._folder / "lock", self._source.shown, TIMEOUT_S, self._place.cancelled
            ):
                if not (self._bare / "HEAD").exists():
                    self._must("init", "--quiet", "--bare", str(self._bare))
                commit, notices = self._commit()
                folder = self._files(commit)
                return Checkout(folder, commit, (*notices, *self._without_submodules(folder)))
        except OSError as error:
            raise DatasetError(f"{self._source.shown}: {error}") from error

    def _commit(self) -> tuple[str, tuple[str, ...]]:
        pinned = self._place.revision
        exact = pinned or self._source.ref or ""
        if _COMMIT.fullmatch(exact):
            if not self._has(exact):
                self._fetch_commit(exact)
            return exact, ()
        name = self._source.ref or "HEAD"
        kept = f"refs/pacabench/{hashlib.sha256(name.encode()).hexdigest()[:16]}"
        fetched = self._git(
            "fetch", "--quiet", "--depth=1", "--no-tags", self._url, f"+{name}:{kept}"
        )
        commit = self._resolved(kept)
        if commit is None:
            raise DatasetError(f"{self._source.shown}: {name!r} cannot be fetched{fetched.tail}")
        if fetched.code == 0:
            return commit, ()
        notice = (
            f"{self._source.shown} cannot be reached; commit {commit[:12]} of the cache is used"
        )
        return commit, (notice,)

    def _fetch_commit(self, commit: str) -> None:
        """Alone, or, where the server gives out no single commits, with all the rest."""
        self._git("fetch", "--quiet", "--depth=1", "--no-tags", self._url, commit)
        if self._has(commit):
            return
        everything = self._git("fetch", "--quiet", self._url, "+refs/*:refs/pacabench/all/*")
        if not self._has(commit):
            raise DatasetError(
                f"{self._source.shown}: commit {commit} cannot be fetched{everything.tail}"
            )

    def _files(self, commit: str) -> Path:
        """A checkout that is whole or not there."""
        folder = self._folder / commit
        if folder.is_dir():
            return folder
        with tempfile.TemporaryDirectory(dir=self._folder) as work:
            tree = Path(work) / "tree"
            tree.mkdir()
            env = {"GIT_INDEX_FILE": str(Path(work) / "index"), "GIT_WORK_TREE": str(tree)}
            self._must("read-tree", commit, env=env)
            self._must("checkout-index", "--all", "--force", env=env)
            sync_tree(tree)
            tree.rename(folder)
            sync_directory(self._folder)
        return folder

    def _without_submodules(self, folder: Path) -> tuple[str, ...]:
        """Submodules are not fetched: their addresses are the repository's and not the user's.

        Raises:
            DatasetError: what is wanted would lie in one.
        """
        try:
            listed = (folder / ".gitmodules").read_bytes()[:_MODULES_BYTES]
        except OSError:
            return ()
        found = _SUBMODULE.findall(listed.decode(errors="replace"))
        wanted = PurePosixPath(self._source.path)
        for name in found:
            if wanted.is_relative_to(name):
                raise DatasetError(
                    f"{self._source.shown}: {printable(str(wanted))} lies in the submodule "
                    f"{printable(name)}, and submodules are not fetched; name the repository that "
                    "it is"
                )
        names = ", ".join(printable(name) for name in found[:_SHOWN_MODULES])
        return (f"{self._source.shown}: submodules are not fetched: {names}",) if found else ()

    def _has(self, commit: str) -> bool:
        return self._resolved(commit) == commit

    def _resolved(self, name: str) -> str | None:
        ended = self._git("rev-parse", "--quiet", "--verify", f"{name}^{{commit}}")
        found = ended.tail.strip()
        return found if ended.code == 0 and _COMMIT.fullmatch(found) else None

    def _must(self, *words: str, env: dict[str, str] | None = None) -> None:
        ended = self._git(*words, env=env)
        if ended.code != 0:
            raise DatasetError(f"{self._source.shown}: git {words[0]} failed{ended.tail}")

    def _git(self, *words: str, env: dict[str, str] | None = None) -> Ended:
        where: Sequence[str] = () if words[0] == "init" else (f"--git-dir={self._bare}",)
        ended = run_command(
            ["git", *_SAFE, *where, *words],
            what=f"{self._source.shown}: git {words[0]}",
            cwd=self._folder,
            env={
                **(self._place.environ or os.environ),
                "GIT_TERMINAL_PROMPT": "0",
                "LC_ALL": "C",
                **(env or {}),
            },
            timeout_s=TIMEOUT_S,
            cancelled=self._place.cancelled,
        )
        return Ended(ended.code, mask(ended.tail, ()))
