"""One place that talks to the Docker Engine, without blocking the event loop.

docker-py blocks and its clients are not safe across threads, so each worker thread has its own. A
cancelled call keeps running in its thread: whatever it may create is labelled, and swept later.
The threads are daemons, and not those of ``concurrent.futures``, whose exit hook would wait for a
call that hangs.
"""

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import docker
import requests
from docker.errors import APIError
from urllib3.exceptions import HTTPError

from pacabench.aio import running_time
from pacabench.errors import EngineUnreachableError, SandboxError
from pacabench.sandbox.docker import connection

T = TypeVar("T")

CALL_TIMEOUT_S = 60.0
"""For an ordinary call. Builds and pulls pass their own."""
RETURN_GRACE_S = 30.0
"""How long an engine that was there may stay away (a restart) before the run is given up."""
PING_TIMEOUT_S = 20.0
_RETRY_EVERY_S = 0.5
_TRIES = 3
_BROKEN = (
    requests.exceptions.ConnectionError,
    requests.exceptions.ChunkedEncodingError,  # it ended in the middle of an answer
    HTTPError,  # as above, of a stream
    EngineUnreachableError,
)
_UNREADABLE = (
    requests.exceptions.RequestException,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
)
"""What docker-py, or whoever takes an answer apart, raises where it is not an engine's."""

_Job = tuple["Future[Any]", Callable[[docker.APIClient], Any]]


class Engine:
    """A Docker Engine. Make one with :func:`open_engine`."""

    def __init__(self, *, workers: int) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._wanted = workers
        self._workers: set[_Worker] = set()
        self._unfinished: set[Future[Any]] = set()
        self._version: str | None = None
        self._closed = False

    async def call(
        self,
        work: Callable[[docker.APIClient], T],
        *,
        timeout_s: float | None = None,
        dispose: Callable[[T], None] | None = None,
        repeatable: bool = False,
    ) -> T:
        """Run ``work`` with a client of its thread.

        ``docker.errors.NotFound`` and other ``APIError`` go through, for callers who know what
        they mean; :func:`~pacabench.sandbox.docker.connection.explain` words those that nobody
        expects. On cancellation the call goes on in its thread; ``dispose`` gets the result that
        nobody waits for any more. ``repeatable``: doing it twice is as good as once, so it is
        done again when the engine was restarted meanwhile, or its answer could not be read.
        ``timeout_s``: :data:`CALL_TIMEOUT_S` where nothing is said.

        Raises:
            EngineUnreachableError: no engine answers, also after a wait.
            SandboxError: no answer within ``timeout_s``, none that can be read, or the connection
                broke under the call; it may still take effect.
        """
        cause: Exception
        within_s = CALL_TIMEOUT_S if timeout_s is None else timeout_s
        for tries_left in reversed(range(_TRIES if repeatable else 1)):
            try:
                return await self._submit(work, within_s, dispose)
            except APIError:
                raise
            except requests.exceptions.Timeout as error:
                raise SandboxError(f"the Docker Engine stopped answering ({error})") from error
            except _BROKEN as error:
                await self._await_return(error)
                what, cause = f"the connection to the Docker Engine broke ({error})", error
            except _UNREADABLE as error:
                what, cause = f"the Docker Engine's answer makes no sense ({error!r})", error
            if not tries_left:
                raise SandboxError(what) from cause
        raise AssertionError("unreachable")

    async def _submit(
        self,
        work: Callable[[docker.APIClient], T],
        timeout_s: float,
        dispose: Callable[[T], None] | None = None,
    ) -> T:
        if self._closed:
            raise SandboxError("the Docker Engine was used after its sandbox had been closed")
        future: Future[T] = Future()
        self._enqueue(future, work)
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            _dispose_later(future, dispose)
            raise
        except TimeoutError as error:
            _dispose_later(future, dispose)
            self._replace_stuck(future)
            raise SandboxError(
                f"the Docker Engine did not answer within {timeout_s:.0f} s; "
                "look at it with `docker info` and at its log"
            ) from error

    def _enqueue(self, future: "Future[Any]", work: Callable[[docker.APIClient], Any]) -> None:
        self._unfinished.add(future)
        future.add_done_callback(self._unfinished.discard)
        if len(self._workers) < min(self._wanted, len(self._unfinished)):
            self._workers.add(_Worker(self._jobs, self._connect))
        self._jobs.put((future, work))

    def later(self, work: Callable[[docker.APIClient], None]) -> None:
        """Run ``work`` some time, with nobody waiting. From any thread."""
        self._jobs.put((Future(), work))

    async def ping(self) -> None:
        """Find out that an engine answers.

        Raises:
            EngineUnreachableError: none does, or it does not let us in.
        """
        try:
            await self.call(lambda client: client.ping(), timeout_s=PING_TIMEOUT_S)
        except (SandboxError, APIError) as error:
            raise EngineUnreachableError(connection.unreachable(error)) from error

    async def info(self) -> dict[str, Any]:
        """What it says of itself (``GET /info``).

        Raises:
            SandboxError: it does not tell.
        """
        return await self._about(lambda client: client.info())

    async def version(self) -> dict[str, Any]:
        """Its version (``GET /version``).

        Raises:
            SandboxError: it does not tell.
        """
        return await self._about(lambda client: client.version())

    async def _about(self, ask: Callable[[docker.APIClient], Mapping[str, Any]]) -> dict[str, Any]:
        try:
            return dict(await self.call(ask, repeatable=True))
        except APIError as error:
            raise connection.explain(error, "asking the engine about itself") from error

    async def _await_return(self, error: Exception) -> None:
        """Wait for an engine that restarts.

        Raises:
            EngineUnreachableError: it stays away.
        """
        gone = error
        if not isinstance(gone, EngineUnreachableError):
            gone = EngineUnreachableError(connection.unreachable(error))
        deadline = running_time() + RETURN_GRACE_S
        while self._version is not None:  # it was there
            if await self._answers():
                return
            if running_time() > deadline:
                break
            await asyncio.sleep(_RETRY_EVERY_S)
        raise gone from error

    async def _answers(self) -> bool:
        try:
            await self._submit(lambda client: client.ping(), PING_TIMEOUT_S)
        except (SandboxError, APIError, *_BROKEN, *_UNREADABLE):
            return False
        return True

    def _connect(self) -> docker.APIClient:
        client = connection.connect(version=self._version)
        self._version = client.api_version
        return client

    def _replace_stuck(self, future: "Future[Any]") -> None:
        """Let a thread whose call hangs go; another takes its place at the next call."""
        if future.cancel():
            return
        for worker in list(self._workers):
            if worker.current is future:
                worker.leave()
                self._workers.discard(worker)

    def shut(self) -> None:
        """Let the threads end. Calls that hang are left behind."""
        self._closed = True
        for _ in self._workers:
            self._jobs.put(None)


def _dispose_later(future: "Future[T]", dispose: Callable[[T], None] | None) -> None:
    def done(ended: "Future[T]") -> None:
        if dispose is not None and not ended.cancelled() and ended.exception() is None:
            dispose(ended.result())

    future.add_done_callback(done)


class _Worker:
    """A daemon thread with a client of its own."""

    def __init__(
        self,
        jobs: "queue.SimpleQueue[_Job | None]",
        make_client: Callable[[], docker.APIClient],
    ) -> None:
        self.current: Future[Any] | None = None
        self._jobs = jobs
        self._make_client = make_client
        self._client: docker.APIClient | None = None
        self._leaving = False
        threading.Thread(target=self._run, name="engine", daemon=True).start()

    def leave(self) -> None:
        """End after the call under way."""
        self._leaving = True

    def _run(self) -> None:
        while not self._leaving:
            job = self._jobs.get()
            if job is None:
                break
            self._do(*job)
            del job
        self._drop_client()

    def _drop_client(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _do(self, future: "Future[Any]", work: Callable[[docker.APIClient], Any]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        self.current = future
        try:
            if self._client is None:
                self._client = self._make_client()
            result = work(self._client)
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
            if isinstance(error, requests.exceptions.ConnectionError):
                self._drop_client()
            future.set_exception(error)
        else:
            future.set_result(result)
        finally:
            self.current = None


@asynccontextmanager
async def open_engine(*, workers: int = 16) -> AsyncIterator[Engine]:
    """An engine that has answered a ping.

    Raises:
        EngineUnreachableError: none answers, or it does not let us in.
    """
    engine = Engine(workers=workers)
    try:
        await engine.ping()
        yield engine
    finally:
        engine.shut()
