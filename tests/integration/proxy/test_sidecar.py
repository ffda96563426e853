"""Sidecar and lane holder as real processes: sockets passed, calls recorded, deaths survived."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import openai
import psutil
import pytest

import pacabench
from pacabench.proxy import control, lane
from pacabench.proxy.control import Configure, ProviderSpec
from pacabench.proxy.spool import read_egress, read_spool
from pacabench.testing import FakeProvider, Reply, Tokens
from tests.integration.proxy.conftest import REAL_KEY, VIRTUAL_KEY, spec_for

M = TypeVar("M")
SCRIPTED = Configure([ProviderSpec("scripted", "scripted")], "scripted")
SAY = [{"role": "user", "content": "hello"}]
WITHOUT_NAMES = """
import socket, sys, time
from pacabench.proxy import sidecar

def hang(*_, **__):
    open(sys.argv[2] + ".looking", "w").close()
    time.sleep(60)

socket.getaddrinfo = hang
sidecar.main()
"""
"""A sidecar whose name server never answers."""


class SidecarProcess:
    """A sidecar with its control channel."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self.process = process
        self.lane_socket = folder / "lanes.sock"
        self.spool = folder / "calls.spool"
        self.seen: list[control.Message] = []

    def send(self, message: control.Message) -> None:
        self.process.stdin.write(control.encode(message))

    async def next(self, kind: type[M]) -> M:
        """The next message of ``kind``; others before it are kept in ``seen``."""
        async with asyncio.timeout(20):
            while line := await self.process.stdout.readline():
                message = control.decode(line)
                self.seen.append(message)
                if isinstance(message, kind):
                    return message
        raise EOFError

    def calls(self) -> list[control.Call]:
        return [message for message in self.seen if isinstance(message, control.Call)]

    async def ended(self) -> int:
        async with asyncio.timeout(40):
            async for line in self.process.stdout:
                self.seen.append(control.decode(line))
            return await self.process.wait()


@asynccontextmanager
async def open_sidecar(
    folder: Path,
    configure: Configure,
    *,
    ready: bool = True,
    program: Sequence[str] = ("-m", "pacabench.proxy.sidecar"),
) -> AsyncIterator[SidecarProcess]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *program),
        *("--lane-socket", str(folder / "lanes.sock"), "--spool", str(folder / "calls.spool")),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**26,
    )
    sidecar = SidecarProcess(process, folder)
    try:
        sidecar.send(configure)
        if ready:
            await sidecar.next(control.Ready)
        yield sidecar
    finally:
        if process.returncode is None:
            process.kill()
        await sidecar.ended()
        process.stdin.close()


@asynccontextmanager
async def open_lane(
    sidecar: SidecarProcess, name: str = "lane-1", *, ports: int = 1
) -> AsyncIterator[tuple[int, asyncio.subprocess.Process]]:
    """A lane holder, run as a bare file the light way; yields its port."""
    port = free_port()
    opened = ",".join(map(str, [port, *(free_port() for _ in range(ports - 1))]))
    holder = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", "-E", lane.__file__),
        *(name, opened, str(sidecar.lane_socket)),
    )
    try:
        up = await sidecar.next(control.LaneUp)
        assert up.lane == name
        yield port, holder
    finally:
        if holder.returncode is None:
            holder.kill()
        await holder.wait()


def the_other_port(sidecar: SidecarProcess, port: int) -> int:
    """Where the way to the web is, of a sidecar with one lane."""
    listening = psutil.Process(sidecar.process.pid).net_connections(kind="tcp")
    (web,) = {it.laddr.port for it in listening if it.status == psutil.CONN_LISTEN} - {port}
    return web


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


async def ask_for(port: int, target: str) -> bytes:
    """What the way to the web says to a CONNECT."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"CONNECT {target} HTTP/1.1\r\n\r\n".encode())
    async with asyncio.timeout(10):
        said = await reader.read()
    writer.close()
    return said


def client_at(port: int, **more: Any) -> openai.AsyncOpenAI:
    settings = {"api_key": VIRTUAL_KEY, "max_retries": 0, **more}
    return openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", **settings)


async def bind(sidecar: SidecarProcess, name: str = "lane-1", attempt: str = "a-1") -> None:
    sidecar.send(control.Bind(1, name, attempt, VIRTUAL_KEY))
    assert await sidecar.next(control.Done) == control.Done(1)


class TestLanes:
    async def test_a_call_in_a_lane_is_recorded_before_its_unbind_is_done(
        self, tmp_path: Path
    ) -> None:
        tokens = Tokens(prompt=100, completion=20, cached=30)
        async with (
            FakeProvider(lambda _: Reply(tokens=tokens)) as provider,
            open_sidecar(tmp_path, Configure([spec_for(provider)], "openai")) as sidecar,
            open_lane(sidecar) as (port, _),
            client_at(port) as client,
        ):
            await bind(sidecar)
            await client.chat.completions.create(model="m", messages=SAY)
            sidecar.send(control.Unbind(2, "lane-1"))
            assert await sidecar.next(control.Done) == control.Done(2)
            [call] = sidecar.calls()
            assert provider.books[0].key == REAL_KEY
        assert call.record.attempt_id == "a-1"
        assert call.record.usage.total_input_tokens == 100
        assert read_spool(sidecar.spool) == [call.record]
        assert REAL_KEY.encode() not in sidecar.spool.read_bytes()

    async def test_the_second_port_of_a_lane_is_the_webs(self, tmp_path: Path) -> None:
        async with (
            open_sidecar(tmp_path, SCRIPTED) as sidecar,
            open_lane(sidecar, ports=2) as (port, holder),
        ):
            web = the_other_port(sidecar, port)
            sidecar.send(control.Bind(1, "lane-1", "a-1", VIRTUAL_KEY, ["localhost.example:443"]))
            assert await sidecar.next(control.Done) == control.Done(1)
            assert b" 403 " in await ask_for(web, "evil.example:443")
            sidecar.send(control.Unbind(2, "lane-1"))
            assert await sidecar.next(control.Done) == control.Done(2)
            (told,) = [it for it in sidecar.seen if isinstance(it, control.Egress)]
            assert b"no case is being run" in await ask_for(web, "localhost.example:443")
            holder.kill()
            await sidecar.next(control.LaneDown)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", web)
        assert (told.record.attempt_id, told.record.reason) == ("a-1", "not_listed")
        assert read_egress(sidecar.spool) == [told.record]

    async def test_lanes_are_told_apart_by_their_sockets(self, tmp_path: Path) -> None:
        async with (
            open_sidecar(tmp_path, SCRIPTED) as sidecar,
            open_lane(sidecar, "one") as (first, _),
            open_lane(sidecar, "two") as (second, _),
        ):
            await bind(sidecar, "one", "attempt-one")
            await bind(sidecar, "two", "attempt-two")
            for port in (second, first):
                async with client_at(port) as client:
                    await client.models.list()
            calls = [await sidecar.next(control.Call) for _ in range(2)]
        assert [call.record.attempt_id for call in calls] == ["attempt-two", "attempt-one"]

    async def test_the_end_of_a_holder_is_the_end_of_its_lane(self, tmp_path: Path) -> None:
        async with (
            open_sidecar(tmp_path, SCRIPTED) as sidecar,
            open_lane(sidecar) as (port, holder),
        ):
            holder.kill()
            assert await sidecar.next(control.LaneDown) == control.LaneDown("lane-1")
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
            sidecar.send(control.Unbind(3, "lane-1"))
            done = await sidecar.next(control.Done)
        assert "no lane" in done.error

    async def test_the_end_of_the_sidecar_is_the_end_of_its_holders_and_ports(
        self, tmp_path: Path
    ) -> None:
        async with (
            open_sidecar(tmp_path, SCRIPTED) as sidecar,
            open_lane(sidecar) as (port, holder),
        ):
            sidecar.process.kill()
            async with asyncio.timeout(10):
                assert await holder.wait() == 0
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)

    async def test_a_holder_keeps_no_copy_of_the_socket(self, tmp_path: Path) -> None:
        async with (
            open_sidecar(tmp_path, SCRIPTED) as sidecar,
            open_lane(sidecar) as (port, holder),
        ):
            async with asyncio.timeout(10):
                while psutil.Process(holder.pid).net_connections(kind="tcp"):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)  # another process has no event
            [held] = psutil.Process(sidecar.process.pid).net_connections(kind="tcp")
            assert (held.laddr.port, held.status) == (port, psutil.CONN_LISTEN)

    async def test_a_lane_id_is_taken_once(self, tmp_path: Path) -> None:
        async with open_sidecar(tmp_path, SCRIPTED) as sidecar, open_lane(sidecar):
            hello(sidecar, b"lane-1\n", [socket.create_server(("127.0.0.1", 0))])
            notice = await sidecar.next(control.Notice)
        assert "there already" in notice.text

    @pytest.mark.parametrize(
        ("message", "sockets", "reason"),
        [
            (b"lane-1\n", list, "0 sockets"),
            (b"lane-1\n", lambda: [listening() for _ in range(3)], "3 sockets"),
            (b"lane-1\n", lambda: [socket.socket()], "no listening"),
            (b"lane-1\n", lambda: [listening(), socket.socket()], "no listening"),
            (b"../lane\n", lambda: [listening()], "no lane id"),
            (b"x" * 300, lambda: [listening()], "no lane id"),
            (b"\xff\n", lambda: [listening()], "no lane id"),
        ],
    )
    async def test_a_hello_that_is_none_is_refused(
        self,
        tmp_path: Path,
        message: bytes,
        sockets: Callable[[], list[socket.socket]],
        reason: str,
    ) -> None:
        async with open_sidecar(tmp_path, SCRIPTED) as sidecar:
            hello(sidecar, message, sockets())
            notice = await sidecar.next(control.Notice)
            assert reason in notice.text
            # It goes on serving others.
            async with open_lane(sidecar):
                pass

    async def test_only_the_sidecars_user_can_bring_a_lane(self, tmp_path: Path) -> None:
        async with open_sidecar(tmp_path, SCRIPTED) as sidecar:
            assert sidecar.lane_socket.stat().st_mode & 0o777 == 0o600
            assert sidecar.spool.stat().st_mode & 0o777 == 0o600

    async def test_a_holder_waits_for_a_sidecar_that_is_not_there_yet(self, tmp_path: Path) -> None:
        port = free_port()
        holder = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pacabench.proxy.lane"),
            *("lane-1", str(port), str(tmp_path / "lanes.sock")),
        )
        async with open_sidecar(tmp_path, SCRIPTED) as sidecar:
            assert await sidecar.next(control.LaneUp) == control.LaneUp("lane-1")
            holder.terminate()
            assert await sidecar.next(control.LaneDown) == control.LaneDown("lane-1")
        assert await holder.wait() == 0


class TestControl:
    async def test_bind_and_unbind_of_no_lane_are_answered_with_an_error(
        self, tmp_path: Path
    ) -> None:
        async with open_sidecar(tmp_path, SCRIPTED) as sidecar:
            sidecar.send(control.Bind(7, "nowhere", "a", "k"))
            sidecar.send(control.Unbind(8, "nowhere"))
            answers = [await sidecar.next(control.Done) for _ in range(2)]
        assert [(answer.seq, "no lane" in answer.error) for answer in answers] == [
            (7, True),
            (8, True),
        ]

    async def test_it_says_its_version(self, tmp_path: Path) -> None:
        async with open_sidecar(tmp_path, SCRIPTED) as sidecar:
            assert sidecar.seen == [control.Ready(pacabench.__version__)]

    async def test_shutdown_ends_it_in_good_order(self, tmp_path: Path) -> None:
        async with open_sidecar(tmp_path, SCRIPTED) as sidecar, open_lane(sidecar) as (_, holder):
            sidecar.send(control.Shutdown())
            assert await sidecar.ended() == 0
            assert await holder.wait() == 0
            assert not sidecar.lane_socket.exists()

    async def test_sigterm_ends_it_in_good_order(self, tmp_path: Path) -> None:
        async with open_sidecar(tmp_path, SCRIPTED) as sidecar:
            sidecar.process.send_signal(signal.SIGTERM)
            assert await sidecar.ended() == 0

    async def test_names_that_nobody_answers_do_not_hold_up_its_end(self, tmp_path: Path) -> None:
        async with (
            open_sidecar(tmp_path, SCRIPTED, program=("-c", WITHOUT_NAMES)) as sidecar,
            open_lane(sidecar, ports=2) as (port, _),
        ):
            web = the_other_port(sidecar, port)
            sidecar.send(control.Bind(1, "lane-1", "a-1", VIRTUAL_KEY, ["dark.example:443"]))
            assert await sidecar.next(control.Done) == control.Done(1)
            asking = asyncio.create_task(ask_for(web, "dark.example:443"))
            while not (tmp_path / "lanes.sock.looking").exists():  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.01)
            began = time.monotonic()
            sidecar.send(control.Shutdown())
            assert await sidecar.ended() == 0
            took_s = time.monotonic() - began
            asking.cancel()
        assert took_s < 5
        (told,) = read_egress(sidecar.spool)
        # It was on the list, and nobody was reached: nothing of it was let through.
        assert (told.verdict, told.reason, told.address) == ("failed", "unbound", None)

    async def test_what_it_cannot_use_ends_it_with_the_reason(self, tmp_path: Path) -> None:
        bad = ProviderSpec("scripted", "scripted", rules=[{"match": "(", "reply": "x"}])
        async with open_sidecar(tmp_path, Configure([bad], "scripted"), ready=False) as sidecar:
            notice = await sidecar.next(control.Notice)
            assert await sidecar.ended() == 1
        assert notice.level == "error"
        assert "rule 1: `match` is no regular expression" in notice.text

    async def test_records_wait_for_a_harness_that_is_slow_to_read(self, tmp_path: Path) -> None:
        async with (
            open_sidecar(tmp_path, SCRIPTED) as sidecar,
            open_lane(sidecar) as (port, _),
            client_at(port) as client,
        ):
            await bind(sidecar)
            # Far more than a pipe holds, while nobody reads: the loop must not stand still.
            sidecar.process.stdout._transport.pause_reading()
            for _ in range(300):
                await client.embeddings.create(model="m" * 250, input="x")
            sidecar.process.stdout._transport.resume_reading()
            sidecar.send(control.Unbind(2, "lane-1"))
            await sidecar.next(control.Done)
        assert len(sidecar.calls()) == 300

    async def test_records_that_wait_are_delivered_before_it_ends(self, tmp_path: Path) -> None:
        async with (
            open_sidecar(tmp_path, SCRIPTED) as sidecar,
            open_lane(sidecar) as (port, _),
            client_at(port) as client,
        ):
            await bind(sidecar)
            sidecar.process.stdout._transport.pause_reading()
            for _ in range(300):
                await client.embeddings.create(model="m" * 250, input="x")
            sidecar.send(control.Shutdown())
            await asyncio.sleep(0.3)
            sidecar.process.stdout._transport.resume_reading()
            assert await sidecar.ended() == 0
        assert len(sidecar.calls()) == 300


class TestDeath:
    async def test_calls_under_way_outlive_the_harness(self, tmp_path: Path) -> None:
        reply = Reply(text="late", delay_s=3, tokens=Tokens(prompt=3, completion=2))
        async with (
            FakeProvider(lambda _: reply) as provider,
            open_sidecar(tmp_path, Configure([spec_for(provider)], "openai")) as sidecar,
            open_lane(sidecar) as (port, _),
            client_at(port) as client,
        ):
            await bind(sidecar)
            asking = asyncio.create_task(client.chat.completions.create(model="m", messages=SAY))
            while not provider.books:  # noqa: ASYNC110 - plain state has no event
                await asyncio.sleep(0.01)
            sidecar.process.stdin.close()
            assert "over" in await first_refusal(client)
            assert (await asking).choices[0].message.content == "late"
            assert await sidecar.ended() == 0
        records = read_spool(sidecar.spool)
        late = [record for record in records if record.end == "complete"]
        assert [record.usage.total_input_tokens for record in late] == [3]

    async def test_a_dead_harness_and_a_dead_stdout_do_not_lose_the_spool(
        self, tmp_path: Path
    ) -> None:
        async with (
            FakeProvider(lambda _: Reply(delay_s=0.3)) as provider,
            open_sidecar(tmp_path, Configure([spec_for(provider)], "openai")) as sidecar,
            open_lane(sidecar) as (port, _),
            client_at(port) as client,
        ):
            await bind(sidecar)
            asking = asyncio.create_task(client.chat.completions.create(model="m", messages=SAY))
            while not provider.books:  # noqa: ASYNC110 - plain state has no event
                await asyncio.sleep(0.01)
            sidecar.process.stdin.close()
            sidecar.process.stdout._transport.close()
            await asking
            async with asyncio.timeout(20):
                assert await sidecar.process.wait() == 0
        assert [record.end for record in read_spool(sidecar.spool)] == ["complete"]

    async def test_what_was_under_way_when_the_sidecar_was_killed_is_interrupted(
        self, tmp_path: Path
    ) -> None:
        def answer(request: dict[str, Any]) -> Reply:
            return Reply(silent=request["model"] == "slow")

        async with (
            FakeProvider(answer) as provider,
            open_sidecar(tmp_path, Configure([spec_for(provider)], "openai")) as sidecar,
            open_lane(sidecar) as (port, _),
            client_at(port) as client,
        ):
            await bind(sidecar)
            await client.chat.completions.create(model="quick", messages=SAY)
            asking = asyncio.create_task(
                client.chat.completions.create(model="slow", messages=SAY, stream=True)
            )
            while len(provider.books) < 2:  # noqa: ASYNC110 - plain state has no event
                await asyncio.sleep(0.01)
            os.kill(sidecar.process.pid, signal.SIGKILL)
            with pytest.raises(openai.APIConnectionError):
                await asking
        quick, slow = read_spool(sidecar.spool)
        assert (quick.model, quick.end, quick.usage_source) == ("quick", "complete", "provider")
        assert (slow.model, slow.end, slow.usage_source) == ("slow", "interrupted", "none")
        assert (slow.attempt_id, slow.stream, slow.usage) == ("a-1", True, None)
        assert slow.started_at == pytest.approx(time.time(), abs=60)


async def first_refusal(client: openai.AsyncOpenAI) -> str:
    """What the sidecar says once it knows that the harness is dead."""
    while True:
        try:
            await client.models.list()
        except openai.InternalServerError as error:
            return error.message


def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def hello(sidecar: SidecarProcess, message: bytes, sockets: list[socket.socket]) -> None:
    """What a lane holder would say, or something else."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(str(sidecar.lane_socket))
    with connection:
        if sockets:
            socket.send_fds(connection, [message], [sock.fileno() for sock in sockets])
        else:
            connection.sendall(message)
    for sock in sockets:
        sock.close()
