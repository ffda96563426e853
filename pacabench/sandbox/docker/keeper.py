"""A directory that outlives the container of whoever writes to it: a volume, and its keeper.

The volume is a tmpfs with the same bounds and flags as the tmpfs that it stands in for. It lives
as long as some running container has it mounted, and that is the keeper: a container of ours, which
reads it when the untrusted one is gone.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import IO, Any

import orjson
from docker.errors import APIError

from pacabench.aio import finish, first_of
from pacabench.errors import SandboxError
from pacabench.left_files import LeftFiles, Wanted, is_runnable
from pacabench.sandbox.docker import containers
from pacabench.sandbox.docker.attach import Attachment, attach
from pacabench.sandbox.docker.connection import explain
from pacabench.sandbox.docker.engine import Engine
from pacabench.sandbox.docker.labels import opaque_name
from pacabench.sandbox.docker.profile import keeper_container, most_inodes, tmpfs_options
from pacabench.sandbox.docker.volume import remove_volume
from pacabench.sandbox.kept import HEAD_BYTES, KeeperError, read_left, wish

KEPT_DIR = "/kept"
_DOING = "making the directory that files are taken out of"
_PAGE_BYTES = 64 * 1024
"""The largest of any kernel, which rounds up to one."""
_ANSWERS_WITHIN_S = 60.0
"""One step: it takes a piece, or says that it has all."""
_GIVES_WITHIN_S = 120.0
_HELD_BYTES = 8 * 1024**2
"""Of what it gives: more goes to the disk."""


@dataclass(frozen=True, slots=True)
class KeeperRecipe:
    """What a keeper is made of."""

    image: str
    """Ours: it needs Python."""
    labels: Mapping[str, str]
    size_bytes: int
    uid: int
    """Whose directory it is."""
    mapped: bool = False
    """The engine gives users of containers other numbers outside."""
    spool_dir: Path | None = None
    """Where what it gives is kept when it is much; None: where temporary files are."""


class Keeper:
    """One volume and its container. Make one with :func:`open_keeper`; close it, also on errors."""

    def __init__(self, engine: Engine, recipe: KeeperRecipe) -> None:
        self._engine = engine
        self._recipe = recipe
        self._container = ""
        self._attachment: Attachment | None = None
        self._ready: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._line = bytearray()
        self._said: IO[bytes] = tempfile.SpooledTemporaryFile(  # noqa: SIM115 - closed below
            _HELD_BYTES, dir=_text(recipe.spool_dir)
        )
        self._room = 0
        self._overflown = False
        self.volume = ""

    async def make_volume(self) -> str:
        """Make the volume, and return its name. Shield it, and close it when it fails.

        Raises:
            SandboxError: the engine cannot.
        """
        recipe, self.volume = self._recipe, opaque_name()
        options = {
            "type": "tmpfs",
            "device": "tmpfs",
            "o": tmpfs_options(recipe.size_bytes, uid=recipe.uid, mapped=recipe.mapped),
        }
        try:
            await self._engine.call(
                lambda client: client.create_volume(
                    self.volume, driver="local", driver_opts=options, labels=dict(recipe.labels)
                )
            )
        except APIError as error:
            raise explain(error, _DOING) from error
        return self.volume

    async def start(self) -> None:
        """Start the container, after the volume was made. Shield it, as :meth:`make_volume`.

        Raises:
            SandboxError: the engine cannot.
        """
        recipe = self._recipe
        body = keeper_container(
            image=recipe.image,
            command=["python3", "-I", "-S", "-c", _script(), KEPT_DIR],
            volume=self.volume,
            place=KEPT_DIR,
            uid=recipe.uid,
            size_bytes=recipe.size_bytes,
            labels=recipe.labels,
        )
        self._container = await containers.create(self._engine, body, doing=_DOING)
        self._attachment = await attach(self._engine, self._container, on_stdout=self._hear)
        await containers.start(self._engine, self._container, doing=_DOING)

    async def put(self, files: Sequence[tuple[str, Path | None]]) -> None:
        """Copy ``files`` (name, where it lies; None: a directory) into the directory. Once.

        Raises:
            SandboxError: there is no room for them, the directory has no bounds, or the keeper is
                stuck.
            OSError: one cannot be read.
        """
        sized = await asyncio.to_thread(_sized, files)
        assert self._attachment is not None
        await self._say({"put": [(name, size, run) for name, _, size, run in sized]})
        for _, path, size, _ in sized:
            if path is not None and not self._ready.done():
                await self._write(path, size)
        async with _soon():
            await first_of(asyncio.shield(self._ready), self._attachment.wait_ended())
        if not self._ready.done():
            raise SandboxError(f"the keeper ended early: {self._attachment.stderr_tail[-500:]}")
        said = self._ready.result()
        if not said.get("ready"):
            raise SandboxError(str(said.get("error")))
        if not is_bounded(said, self._recipe.size_bytes):
            raise SandboxError(
                "the engine does not bound the volume that files are taken out of: asked for "
                f"{self._recipe.size_bytes} bytes, nosuid and nodev, it is {said}; update the "
                "engine, or do without `files` of evaluators and prepare on the host"
            )

    async def take(self, wanted: Wanted) -> LeftFiles:
        """What is wanted of the directory; once, and when nobody else writes to it any more.

        Raises:
            SandboxError: the keeper did not give it.
        """
        source = await self.take_stream(wanted)
        try:
            return await asyncio.to_thread(read_left, source, wanted)
        except KeeperError as error:
            raise SandboxError(f"the files that were left cannot be taken: {error}") from error

    async def take_stream(self, wanted: Wanted) -> IO[bytes]:
        """As :meth:`take`: a file at the beginning of what the keeper said, which closes it.

        Raises:
            SandboxError: the keeper did not give it.
        """
        assert self._attachment is not None
        self._room = HEAD_BYTES + wanted.most_bytes
        await self._say({"take": wish(wanted)})
        try:
            async with asyncio.timeout(_GIVES_WITHIN_S):
                await self._attachment.wait_ended()
        except TimeoutError:
            raise SandboxError(f"no files came within {_GIVES_WITHIN_S:.0f} s") from None
        if self._attachment.broke_off or self._overflown:
            raise SandboxError("the files that were left did not come whole")
        self._said.seek(0)
        return self._said

    async def close(self) -> None:
        """Remove container and volume. Idempotent; shield it.

        Raises:
            SandboxError: they stay.
        """
        self._ready.cancel()
        try:
            if self._container:
                await containers.remove(self._engine, self._container)
            if self.volume:
                await remove_volume(self._engine, self.volume)
        finally:
            self._said.close()
            if self._attachment is not None:
                await self._attachment.close()

    def _hear(self, piece: bytes) -> None:
        """What comes on its stdout: one line, and then what was asked for."""
        if self._said.closed:
            return
        if not self._ready.done():
            self._line += piece
            line, newline, piece = bytes(self._line).partition(b"\n")
            if not newline:
                return
            self._ready.set_result(orjson.loads(line))
        self._room -= len(piece)
        if self._room < 0:
            self._overflown = True
        else:
            self._said.write(piece)

    async def _say(self, message: dict[str, Any]) -> None:
        assert self._attachment is not None
        async with _soon():
            await self._attachment.write(orjson.dumps(message) + b"\n")

    async def _write(self, path: Path, size: int) -> None:
        assert self._attachment is not None
        left = size
        with await asyncio.to_thread(path.open, "rb") as file:
            while left:
                piece = await asyncio.to_thread(file.read, min(left, 1024**2))
                if not piece:
                    raise OSError(f"{path} became shorter while it was read")
                async with _soon():
                    await self._attachment.write(piece)
                left -= len(piece)


def is_bounded(said: Mapping[str, Any], size_bytes: int) -> bool:
    """Whether the kernel holds the directory to what was asked for; ``said`` is the keeper's."""
    within = said["bytes"] < size_bytes + _PAGE_BYTES and 0 < said["inodes"] <= most_inodes(
        size_bytes
    )
    return bool(within and said["bytes"] > 0 and said["nosuid"] and said["nodev"])


async def open_keeper(engine: Engine, recipe: KeeperRecipe) -> Keeper:
    """A keeper that serves. Cancelled, it leaves nothing.

    Raises:
        SandboxError: the engine cannot make it.
    """
    keeper = Keeper(engine, recipe)
    try:
        await finish(keeper.make_volume())
        await finish(keeper.start())
    except BaseException:
        await finish(keeper.close())
        raise
    return keeper


@asynccontextmanager
async def _soon() -> AsyncIterator[None]:
    """Within it, one step of a keeper."""
    try:
        async with asyncio.timeout(_ANSWERS_WITHIN_S):
            yield
    except TimeoutError:
        raise SandboxError(
            f"a keeper did nothing for {_ANSWERS_WITHIN_S:.0f} s; the engine may be overloaded"
        ) from None


def _text(path: Path | None) -> str | None:
    return str(path) if path is not None else None


def _script() -> str:
    script = resources.files("pacabench").joinpath("keeper_script.py")
    return script.read_text(encoding="utf-8")


def _sized(
    files: Sequence[tuple[str, Path | None]],
) -> list[tuple[str, Path | None, int, bool]]:
    return [
        (name, path, path.stat().st_size if path is not None else 0, is_runnable(path))
        for name, path in files
    ]
