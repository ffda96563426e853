"""One agent container in a lane, from create to removal, and the services beside it."""

import asyncio
import contextlib
import io
import shlex
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any

from pacabench.aio import finish, settle
from pacabench.errors import SandboxError
from pacabench.left_files import LeftFiles, Wanted
from pacabench.model import ExitFacts
from pacabench.proxy.terms import FREE, Terms
from pacabench.sandbox.base import STDOUT_LIMIT_BYTES
from pacabench.sandbox.docker import containers
from pacabench.sandbox.docker.attach import Attachment, attach
from pacabench.sandbox.docker.containers import SIGKILL, End
from pacabench.sandbox.docker.engine import Engine
from pacabench.sandbox.docker.keeper import Keeper, KeeperRecipe
from pacabench.sandbox.docker.lanes import Lane
from pacabench.sandbox.docker.runtime import Runtime
from pacabench.sandbox.docker.services import Services

_FORCED = (SIGKILL, 15)
_LAST_BREATH_S = 0.05
"""What a program that was asked its last may take to end by itself. Killing takes about as long,
and far more of the machine's time."""
_EXIT_WITHIN_S = 2.0
"""From the end of the output to the exit."""
_KILLED_WITHIN_S = 30.0
"""From SIGKILL to the end that the engine tells of."""
_NEWS_WITHIN_S = 0.5
_SALVAGE_WITHIN_S = 120.0


class DockerSession:
    """See :class:`pacabench.sandbox.base.Session`. Opened by the sandbox that made it."""

    def __init__(
        self,
        engine: Engine,
        runtime: Runtime,
        lane: Lane,
        key: str | None,
        services: Services,
        allow: Sequence[str] = (),
        terms: Terms = FREE,
    ) -> None:
        self._engine = engine
        self._runtime = runtime
        self._lane = lane
        self._key = key
        """None: there is neither a provider nor the web, and nothing is ever bound."""
        self._allow = allow
        """Of the web."""
        self._terms = terms
        self._services = services
        self._trouble: str | None = None
        """With a service."""
        self._failure: str | None = None
        self._in_case = False
        self._asked_last = False
        self._container = ""
        self._started = False
        self._attachment: Attachment | None = None
        self._watches: set[asyncio.Task[None]] = set()
        self.files_dir = ""
        """Where the agent finds its case's files."""
        self._keeper: Keeper | None = None
        self._wanted: Wanted | None = None
        self._left: LeftFiles | SandboxError | None = None
        self._attempt: str | None = None
        self._unbinding = asyncio.Lock()
        self._closing = asyncio.Lock()
        self._facts: ExitFacts | None = None

    @property
    def uid(self) -> int:
        """The user that its agent runs as."""
        return self._lane.uid

    @property
    def key(self) -> str | None:
        """Its virtual key."""
        return self._key

    @property
    def container(self) -> str:
        """Its container's id; empty before there is one."""
        return self._container

    @property
    def waiting_bytes(self) -> int:
        """How much of its output was not asked for yet."""
        return self._attachment.waiting_bytes if self._attachment is not None else 0

    @property
    def holder(self) -> str:
        """Container id of its lane's holder."""
        return self._lane.holder

    async def start_services(self, labels: Mapping[str, str]) -> None:
        """Start the services and wait until they are ready; close the session when it fails.

        Raises:
            SandboxError, SandboxUnavailableError: as :meth:`Services.start`.
        """
        await self._services.start(self._lane, labels, self._key)

    async def make_keeper(self, recipe: KeeperRecipe) -> str:
        """The volume that is to be its agent's work directory; shield it, as :meth:`create`.

        Raises:
            SandboxError: the engine cannot make one.
        """
        self._keeper = Keeper(self._engine, recipe)
        return await self._keeper.make_volume()

    async def start_keeper(self) -> None:
        """Have the volume outlive the agent; shield it. Nothing, where there is none.

        Raises:
            SandboxError: its keeper cannot be started, or the engine does not bound it.
        """
        if self._keeper is not None:
            await self._keeper.start()
            await self._keeper.put(())

    async def create(self, body: Mapping[str, Any], *, doing: str) -> None:
        """Create and attach. Shield it, and close the session when it fails."""
        engine = self._engine
        self._container = await containers.create(engine, body, doing=doing)
        self._attachment = await attach(engine, self._container, limit_bytes=STDOUT_LIMIT_BYTES)

    async def run(self, *, doing: str) -> None:
        """Start what :meth:`create` made. Shield it, and close the session when it fails."""
        await containers.start(self._engine, self._container, doing=doing)
        self._started = True
        watches = (self._watch_lane(), self._watch_services())
        self._watches = {asyncio.create_task(watch) for watch in watches}

    async def _watch_lane(self) -> None:
        await self._lane.link.down.wait()
        self._attached().break_off("its lane went down")

    async def _watch_services(self) -> None:
        self._trouble = await self._services.wait_trouble()
        self._attached().break_off(self._trouble)

    async def bind(self, attempt_id: str) -> None:
        """See :meth:`pacabench.sandbox.base.Session.bind`."""
        if not self._lane.usable:
            raise SandboxError("the agent's lane went down")
        if self._trouble is not None:
            raise SandboxError(f"{self._trouble}, before the case was sent")
        self._in_case = True
        self._failure = None
        if self._key is not None:
            self._attempt = attempt_id
            await self._runtime.sidecar.bind(
                self._lane.lane_id, attempt_id, self._key, self._allow, self._terms
            )

    @property
    def failure(self) -> str | None:
        """See :attr:`pacabench.sandbox.base.Session.failure`."""
        return self._failure

    async def unbind(self) -> None:
        """See :meth:`pacabench.sandbox.base.Session.unbind`."""
        await self._unbind()
        if self._in_case:
            self._in_case = False
            await self._services.check()

    async def _unbind(self) -> None:
        async with self._unbinding:
            if self._attempt is None:
                return
            try:
                sidecar, lane = self._runtime.sidecar, self._lane
                if not await sidecar.unbind(lane.lane_id, self._attempt):
                    lane.spoiled = True
                    self._failure = "the agent's lane went down in the middle of a case"
            except SandboxError as error:
                self._lane.spoiled = True
                self._failure = f"{error}, in the middle of a case"
                # The sidecar is dead; its supervisor delivers what it had noted.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_SALVAGE_WITHIN_S):
                        await self._runtime.salvaged.wait()
            self._attempt = None

    async def place(self, files: Mapping[str, bytes]) -> str:
        """See :meth:`pacabench.sandbox.base.Session.place`. The container's shell unpacks them."""
        await self._attached().write(packed(files))
        return self.files_dir

    async def send(self, line: bytes, *, last: bool) -> None:
        """See :meth:`pacabench.sandbox.base.Session.send`."""
        attachment = self._attached()
        await attachment.write(line)
        if last:
            attachment.close_stdin()
            self._asked_last = True

    async def read_line(self) -> bytes | None:
        """See :meth:`pacabench.sandbox.base.Session.read_line`."""
        return await self._attached().read_line()

    async def take_left(self, wanted: Wanted) -> LeftFiles:
        """See :meth:`pacabench.sandbox.base.Session.take_left`."""
        self._wanted = wanted
        await self.close()
        if isinstance(self._left, LeftFiles):
            return self._left
        raise self._left or SandboxError("nothing was kept of what the agent left")

    async def close(self) -> ExitFacts:
        """See :meth:`pacabench.sandbox.base.Session.close`."""
        async with self._closing:
            if self._facts is None:
                await self._close()
            assert self._facts is not None
            return self._facts

    async def _close(self) -> None:
        await settle(self._watches)
        in_case, self._in_case = self._in_case, False
        unbinding = asyncio.create_task(self._unbind())
        try:
            end, killed = await self._end()
            if self._started and end is None:
                self._failure = "the agent's container was removed from outside, or never started"
            self._facts = self._as_facts(end, killed=killed)
            await self._check_foul_play(end, killed=killed)
            if in_case:
                await self._services.end()
        finally:
            if self._facts is None:
                self._facts = self._as_facts(None, killed=True)
            await finish(self._remove(unbinding))

    async def _end(self) -> tuple[End | None, bool]:
        """Make it end unless it did; how it ended, and whether it was made to."""
        if not self._container:
            return None, False
        attachment = self._attachment
        if attachment is not None and self._asked_last:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_BREATH_S):
                    await attachment.wait_ended()
        if attachment is not None and attachment.ended and not attachment.broke_off:
            # About to exit: let it, for its own exit code.
            with contextlib.suppress(TimeoutError):
                return await self._read_end(_EXIT_WITHIN_S), False
        killed = await containers.kill(self._engine, self._container)
        try:
            end = await self._read_end(_KILLED_WITHIN_S)
        except TimeoutError:
            raise SandboxError(
                f"a container does not end; see `docker inspect {self._container}`"
            ) from None
        return end, killed and (end is None or end.signal == SIGKILL)

    async def _read_end(self, within_s: float) -> End | None:
        return await containers.read_end(self._engine, self._container, within_s=within_s)

    async def _check_foul_play(self, end: End | None, *, killed: bool) -> None:
        """An engine that goes down ends agents too; that is not theirs to answer for.

        Raises:
            SandboxError: it was so.
        """
        if killed or end is None or end.out_of_memory or end.signal not in _FORCED:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_NEWS_WITHIN_S):
                await self._lane.link.down.wait()
            raise SandboxError("the agent's container and its lane were ended from outside")

    async def _remove(self, unbinding: asyncio.Task[None]) -> None:
        try:
            try:
                if self._container:
                    await containers.remove(self._engine, self._container)
                await self._take()
            finally:
                try:
                    if self._keeper is not None:
                        await self._keeper.close()
                finally:
                    await self._services.remove()
        except SandboxError:
            self._lane.spoiled = True
            raise
        finally:
            if self._attachment is not None:
                await self._attachment.close()
            await unbinding
            await self._runtime.lanes.release(self._lane)

    async def _take(self) -> None:
        """Nobody is left in the container who could change what is read."""
        if self._wanted is None or self._keeper is None:
            return
        try:
            self._left = await self._keeper.take(self._wanted)
        except SandboxError as error:
            self._left = error

    def _as_facts(self, end: End | None, *, killed: bool) -> ExitFacts:
        attachment = self._attachment
        return ExitFacts(
            exit_code=None if end is None or killed else end.exit_code,
            signal=SIGKILL if killed else end.signal if end is not None else None,
            out_of_memory=end is not None and end.out_of_memory,
            killed=killed,
            stdout_bytes=attachment.stdout_bytes if attachment else 0,
            stderr_bytes=attachment.stderr_bytes if attachment else 0,
            stderr_tail=attachment.stderr_tail if attachment else "",
        )

    def _attached(self) -> Attachment:
        if self._attachment is None:
            raise SandboxError("the session was not opened")
        return self._attachment


_COPY = (
    # Without a locale's files to read, in the directories of most images first: on some engines
    # each file that is looked up costs as much as a system call of a remote file system.
    "LC_ALL=C PATH=/usr/bin:/bin:$PATH cp -RP {source} . || {{ "
    "echo 'pacabench: the agent does not fit into its work directory; see sandbox.tmp_size' >&2; "
    "exit 73; }}; "
)
"""The root file system is read-only, and agents write beside their code."""


_TAKE_FILES = (
    # `read` takes no byte past the line, and `head` none past its count: what follows is the case.
    'IFS= read -r pacabench_size && {{ test "$pacabench_size" = 0 || '
    '{{ mkdir -p {folder} && PATH=/usr/bin:/bin:$PATH head -c "$pacabench_size" '
    "| PATH=/usr/bin:/bin:$PATH tar -xf - -C {folder}; }}; }} || {{ "
    "echo 'pacabench: the files of the case cannot be placed; the image needs head and tar, and "
    "sandbox.tmp_size room for them' >&2; exit 73; }}; "
)


def agent_command(
    command: str, source_dir: str | None, files_dir: str | None = None
) -> Sequence[str]:
    """What the container runs for the user's ``command``: all of it in one shell.

    With ``files_dir`` it first takes the case's files from stdin, as :func:`packed` writes them.
    """
    copy = _COPY.format(source=shlex.quote(f"{source_dir}/.")) if source_dir is not None else ""
    take = _TAKE_FILES.format(folder=shlex.quote(files_dir)) if files_dir is not None else ""
    return ["/bin/sh", "-c", copy + take + command]


def packed(files: Mapping[str, bytes]) -> bytes:
    """``files`` as a line with a number of bytes, and so many bytes of tar."""
    if not files:
        return b"0\n"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o444
            archive.addfile(entry, io.BytesIO(content))
    data = buffer.getvalue()
    return f"{len(data)}\n".encode() + data
