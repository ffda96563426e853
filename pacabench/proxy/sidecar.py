"""The proxy as a process of its own: ``python -m pacabench.proxy.sidecar``.

Control comes in on stdin and goes out on stdout (see ``control.py``); nothing else is ever written
to stdout. Lanes come in over a Unix socket that only lane holders can reach: each passes its lane's
listening socket, and holds its connection open for as long as the lane lives.

When stdin ends the harness is dead: no new calls, those under way finish, exit. SIGTERM and
``Shutdown`` do the same with less patience.
"""

import argparse
import asyncio
import gc
import os
import re
import resource
import signal
import socket
import sys
from collections.abc import Coroutine
from contextlib import closing, suppress
from pathlib import Path

from pacabench import __version__
from pacabench.proxy import control
from pacabench.proxy.gateway import Gateway
from pacabench.proxy.questions import Questions
from pacabench.proxy.spool import Spool
from pacabench.proxy.tape_link import TapeLink
from pacabench.proxy.web.addresses import AddressPolicy, own_networks
from pacabench.proxy.web.server import WebGateway

SHUTDOWN_GRACE_S = 5.0
"""For calls under way after ``Shutdown`` or SIGTERM."""
MAX_CONTROL_LINE_BYTES = 256 * 1024**2
"""``Configure`` carries the rules of the scripted provider."""
_FLUSH_WITHIN_S = 5.0
_GATHER_S = 0.01
_CAN_WAIT = (control.Call, control.Text, control.Waited)
_LANE_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MAX_HELLO_BYTES = 256
_HELLO_WITHIN_S = 5.0


class _Outlet(asyncio.Protocol):
    """Stdout's state: everything was taken, or its reader is gone."""

    def __init__(self) -> None:
        self.settled = asyncio.Event()
        self.settled.set()

    def pause_writing(self) -> None:
        self.settled.clear()

    def resume_writing(self) -> None:
        self.settled.set()

    def connection_lost(self, _: Exception | None) -> None:
        self.settled.set()


class ControlChannel:
    """JSON lines on stdin and stdout. Writing never waits: what stdout does not take is kept."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.WriteTransport, outlet: _Outlet
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._outlet = outlet
        self._held: list[bytes] = []
        self._written_soon: asyncio.TimerHandle | None = None

    async def receive(self) -> control.Message | None:
        """The next message, or None at the end.

        Raises:
            ControlError: a line is no message.
        """
        line = await self._reader.readline()
        return control.decode(line) if line.endswith(b"\n") else None

    def send(self, message: control.Message) -> None:
        """Queue ``message``. Lost only when nobody is there to read; the spool has it then.

        The order is kept. What no one waits for is written together with what comes after it: each
        write wakes the harness, which costs more than all else that is done for a call's record.
        """
        self._held.append(control.encode(message))
        if not isinstance(message, _CAN_WAIT):
            self._write()
        elif self._written_soon is None:
            loop = asyncio.get_running_loop()
            self._written_soon = loop.call_later(_GATHER_S, self._write)

    def _write(self) -> None:
        if self._written_soon is not None:
            self._written_soon.cancel()
            self._written_soon = None
        lines = b"".join(self._held)
        self._held.clear()
        if not self._writer.is_closing():
            self._writer.write(lines)

    def waiting_bytes(self) -> int:
        """How much of what was sent stdout did not take yet."""
        return self._writer.get_write_buffer_size()

    async def flush(self) -> None:
        """Wait until stdout took everything, unless its reader is gone or stuck."""
        self._write()
        with suppress(TimeoutError):
            async with asyncio.timeout(_FLUSH_WITHIN_S):
                await self._outlet.settled.wait()


async def open_control() -> ControlChannel:
    """The channel on this process's stdin and stdout."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=MAX_CONTROL_LINE_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    writer, outlet = await loop.connect_write_pipe(_Outlet, sys.stdout.buffer)
    writer.set_write_buffer_limits(high=0)
    return ControlChannel(reader, writer, outlet)


class Sidecar:
    """Ties the control channel, the lanes' socket and the two gateways together."""

    def __init__(
        self,
        channel: ControlChannel,
        gateway: Gateway,
        web: WebGateway,
        questions: Questions,
        lane_socket: Path,
        tapes: TapeLink,
    ) -> None:
        self._channel = channel
        self._gateway = gateway
        self._web = web
        self._questions = questions
        self._lane_socket = lane_socket
        self._tape_link = tapes
        self._tasks: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Serve until stdin ends, ``Shutdown`` comes or SIGTERM does."""
        listener = _listen(self._lane_socket)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        accepting = asyncio.create_task(self._accept_lanes(listener))
        reading = asyncio.create_task(self._read_control())
        stopping = asyncio.create_task(self._stop.wait())
        self._channel.send(control.Ready(__version__))
        try:
            await asyncio.wait({accepting, reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
            self._gateway.refuse_new()
            self._questions.close()
            await self._web.close()
            await self._gateway.drain(
                grace_s=SHUTDOWN_GRACE_S if stopping.done() else control.ORPHAN_GRACE_S
            )
        finally:
            for task in (accepting, reading, stopping, *self._tasks):
                task.cancel()
            ended = await asyncio.gather(accepting, reading, *self._tasks, return_exceptions=True)
            listener.close()
            self._lane_socket.unlink(missing_ok=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error

    async def _read_control(self) -> None:
        while (message := await self._channel.receive()) is not None:
            if isinstance(message, control.Bind):
                self._bind(message)
            elif isinstance(message, control.Unbind):
                self._spawn(self._unbind(message))
            elif isinstance(message, control.Ping):
                self._channel.send(control.Done(message.seq))
            elif isinstance(message, control.Answer):
                self._tape_link.take(message)
            elif isinstance(message, control.Decision):
                self._questions.take(message.ruling)
            elif isinstance(message, control.Shutdown):
                self._stop.set()
            else:
                raise control.ControlError(f"not for a sidecar: {type(message).__name__}")

    def _bind(self, message: control.Bind) -> None:
        error = None
        try:
            self._web.bind(message.lane, message.attempt_id, message.allow)
            self._gateway.bind(message.lane, message.attempt_id, message.key, message.terms)
        except ValueError as problem:
            error = str(problem)
        self._channel.send(control.Done(message.seq, error))

    async def _unbind(self, message: control.Unbind) -> None:
        error = None
        try:
            await self._web.unbind(message.lane)
            await self._gateway.unbind(message.lane)
        except ValueError as problem:
            error = str(problem)
        self._channel.send(control.Done(message.seq, error))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept_lanes(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(listener)
            connection.setblocking(False)
            self._spawn(self._hold_lane(connection))

    async def _hold_lane(self, connection: socket.socket) -> None:
        """Serve the lane that comes over ``connection`` until its holder hangs up."""
        with connection:
            try:
                lane, sock, web = await _receive_lane(connection)
                await self._gateway.add_lane(lane, sock)
                if web is not None:
                    await self._web.add_lane(lane, web)
            except (OSError, ValueError) as problem:
                self._channel.send(control.Notice("warning", f"a lane was refused: {problem}"))
                return
            self._channel.send(control.LaneUp(lane))
            loop = asyncio.get_running_loop()
            with suppress(OSError):
                while await loop.sock_recv(connection, 64):
                    pass
            await self._web.remove_lane(lane)
            await self._gateway.remove_lane(lane)
            self._channel.send(control.LaneDown(lane))


async def _receive_lane(
    connection: socket.socket,
) -> tuple[str, socket.socket, socket.socket | None]:
    """The lane's id and its listening sockets, out of the one message that a holder sends.

    The first socket is the proxy's, the second, if it is there, the web's.

    Raises:
        ValueError: the message is not that.
        OSError: the connection broke.
    """
    hello, fds = b"", list[int]()
    try:
        async with asyncio.timeout(_HELLO_WITHIN_S):
            while not hello.endswith(b"\n") and len(hello) < _MAX_HELLO_BYTES:
                await _readable(connection)
                part, more, _, _ = socket.recv_fds(connection, _MAX_HELLO_BYTES, 4)
                fds += more
                if not part:
                    break
                hello += part
        lane = hello[:-1].decode("ascii", "replace")
        if not hello.endswith(b"\n") or not _LANE_ID.fullmatch(lane):
            raise ValueError(f"no lane id in {hello!r}")
        if len(fds) not in (1, 2):
            raise ValueError(f"{len(fds)} sockets came with lane {lane}, not one or two")
        sock, *others = _all_listening(fds)
        return lane, sock, others[0] if others else None
    finally:
        for fd in fds:
            os.close(fd)


def _all_listening(fds: list[int]) -> list[socket.socket]:
    """Sockets that take over ``fds``, which is empty then."""
    socks = [socket.socket(fileno=fds.pop(0)) for _ in range(len(fds))]
    for sock in socks:
        if sock.family != socket.AF_INET or not sock.getsockopt(
            socket.SOL_SOCKET, socket.SO_ACCEPTCONN
        ):
            for each in socks:
                each.close()
            raise ValueError("what came with it is no listening TCP socket")
    return socks


async def _readable(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(connection, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(connection)


def _listen(path: Path) -> socket.socket:
    """The lanes' socket. What an earlier process left at ``path`` is replaced."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(128)
    listener.setblocking(False)
    return listener


async def serve(lane_socket: Path, spool_file: Path) -> None:
    """Run a sidecar on this process's stdin and stdout until it is told to end.

    Raises:
        ValueError: what came over stdin cannot be used; the harness got it as a notice too.
    """
    channel = await open_control()
    try:
        first = await channel.receive()
        if first is not None:
            await _serve_as(first, channel, lane_socket, spool_file)
    except ValueError as error:
        channel.send(control.Notice("error", str(error)))
        raise
    finally:
        await channel.flush()


async def _serve_as(
    first: control.Message, channel: ControlChannel, lane_socket: Path, spool_file: Path
) -> None:
    if not isinstance(first, control.Configure):
        raise control.ControlError(f"Configure has to come first, not {type(first).__name__}")
    with closing(Spool(spool_file)) as spool:

        def notice(text: str) -> None:
            channel.send(control.Notice("warning", text))

        link = TapeLink(first, channel.send, channel.waiting_bytes)
        questions = Questions(lambda ask: channel.send(control.Question(ask)))
        gateway = Gateway(
            first.providers,
            first.default,
            lambda record: channel.send(control.Call(record)),
            spool,
            on_notice=notice,
            on_health=lambda *health: channel.send(control.Health(*health)),
            on_text=lambda text: channel.send(control.Text(text)),
            on_wait=lambda *wait: channel.send(control.Waited(*wait)),
            live_waits=first.live_waits,
            patience=first.patience,
            tapes=link.tapes,
            on_ask=questions.ask,
        )
        web = WebGateway(
            lambda record: channel.send(control.Egress(record)),
            spool,
            policy=AddressPolicy([*own_networks(), *first.refused]),
            on_notice=notice,
        )
        async with gateway:
            await Sidecar(channel, gateway, web, questions, lane_socket, link).run()


def main() -> None:
    """The command line: where the lanes' socket and the spool are, for tests."""
    parser = argparse.ArgumentParser(prog="python -m pacabench.proxy.sidecar")
    parser.add_argument("--lane-socket", type=Path, default=Path(control.LANE_SOCKET))
    parser.add_argument("--spool", type=Path, default=Path(control.SPOOL_FILE))
    arguments = parser.parse_args()
    # Ctrl-C reaches the whole terminal; when to end is the harness's decision.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # What was imported stays: no collection looks at it again. The others come less often: a call
    # leaves little behind that is not freed at once.
    gc.freeze()
    gc.set_threshold(10_000)
    try:
        asyncio.run(serve(arguments.lane_socket, arguments.spool))
    except ValueError as error:
        sys.exit(f"pacabench sidecar: {error}")
    # Everything is written and closed. Ending as usual would wait for threads that look up names
    # for agents, and so for name servers that never answer.
    os._exit(0)


if __name__ == "__main__":
    main()
