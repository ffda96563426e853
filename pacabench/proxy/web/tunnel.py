"""CONNECT: a tunnel for TLS to the host that was asked for, and for nothing else.

What can be seen of TLS is held to it: the ClientHello names the host, a second one that the server
asks for does too, and all that follows, both ways, comes in TLS records. Until the server's first
message is there, nothing but the first hello reaches it: else a second hello, with another name,
could be there before anybody knows that there will be one.
"""

import asyncio
from collections.abc import Callable

from pacabench.proxy.web.client_hello import (
    ACCESS_DENIED,
    ALERT,
    HANDSHAKE,
    HEADER_BYTES,
    Handshake,
    HiddenNameError,
    NotTlsError,
    client_handshake,
    is_retry,
    parse_header,
    server_handshake,
    wanted_host,
)
from pacabench.proxy.web.record import DeniedError
from pacabench.proxy.web.stream import Limits, Stream, Traffic, both


async def carry(agent: Stream, host: Stream, name: str, traffic: Traffic, limits: Limits) -> None:
    """Carry a TLS connection of ``agent`` to the ``host`` called ``name``, to its end.

    Raises:
        DeniedError: it is no TLS, or not for ``name``; the agent was told by an alert.
        CutError: the attempt has used up its bytes.
        ConnectionError: one side broke off.
    """
    try:
        await _greet(agent, host, name, traffic, limits)
        await both(_relay(agent, host, traffic.up), _relay(host, agent, traffic.down))
    except DeniedError:
        agent.writer.write(ACCESS_DENIED)
        raise
    except HiddenNameError as error:
        agent.writer.write(ACCESS_DENIED)
        raise DeniedError("hidden_name", str(error)) from error
    except NotTlsError as error:
        agent.writer.write(ACCESS_DENIED)
        raise DeniedError("not_tls", f"what came through the tunnel is not TLS: {error}") from error


async def _greet(agent: Stream, host: Stream, name: str, traffic: Traffic, limits: Limits) -> None:
    """Let hellos pass until both sides agree on what is spoken."""
    await _pass_client_hello(agent, host, name, traffic, limits)
    if await _pass_server_hello(host, agent, traffic, limits):
        await _pass_client_hello(agent, host, name, traffic, limits, again=True)


async def _pass_client_hello(
    agent: Stream,
    host: Stream,
    name: str,
    traffic: Traffic,
    limits: Limits,
    *,
    again: bool = False,
) -> None:
    """Check a ClientHello before a byte of it goes on.

    Before the second one (``again``) other records may come: early data that the server passes
    over, and a change_cipher_spec that means nothing.
    """
    handshake, held = client_handshake(), b""
    try:
        async with asyncio.timeout(limits.head_s):
            while True:
                record = await _read_record(agent)
                if record is None:
                    raise NotTlsError("it ends before its hello does")
                if again and not held and record[0] != HANDSHAKE:
                    await _pass_on(host, record, traffic.up)
                    continue
                held += record
                hello = _feed(handshake, record)
                if hello is not None:
                    break
    except TimeoutError as error:
        what = f"no whole ClientHello came within {limits.head_s:g} s"
        raise DeniedError("slow", what) from error
    if not handshake.is_alone:
        raise NotTlsError("its hello has something behind its end")
    _check_name(wanted_host(hello), name)
    await _pass_on(host, held, traffic.up)


def _check_name(wanted: str | None, name: str) -> None:
    if wanted is None:
        raise DeniedError("no_sni", f"the ClientHello names no host (SNI), and has to name {name}")
    if wanted != name:
        raise DeniedError("sni_mismatch", f"the ClientHello names {wanted}, and not {name}")


async def _pass_server_hello(host: Stream, agent: Stream, traffic: Traffic, limits: Limits) -> bool:
    """Pass the server's first message on; whether it asks for another ClientHello."""
    handshake = server_handshake()
    try:
        async with asyncio.timeout(limits.answer_s):
            while (record := await _read_record(host)) is not None:
                await _pass_on(agent, record, traffic.down)
                if record[0] == ALERT:
                    return False
                hello = _feed(handshake, record)
                if hello is not None:
                    return is_retry(hello)
    except TimeoutError as error:
        raise NotTlsError(f"the server said nothing within {limits.answer_s:g} s") from error
    return False


def _feed(handshake: Handshake, record: bytes) -> bytes | None:
    if record[0] != HANDSHAKE:
        raise NotTlsError("it does not begin with a handshake")
    return handshake.feed(record[HEADER_BYTES:])


async def _relay(source: Stream, sink: Stream, count: Callable[[int], None]) -> None:
    """Records from one side to the other, until the first has no more."""
    while (record := await _read_record(source)) is not None:
        await _pass_on(sink, record, count)
    sink.end()


async def _pass_on(sink: Stream, record: bytes, count: Callable[[int], None]) -> None:
    count(len(record))
    await sink.send(record)


async def _read_record(source: Stream) -> bytes | None:
    """The next whole TLS record, None at the end; the rest of a torn one is dropped.

    Raises:
        NotTlsError: it is none.
    """
    try:
        header = await source.reader.readexactly(HEADER_BYTES)
        content = await source.reader.readexactly(parse_header(header).length)
    except asyncio.IncompleteReadError:
        return None
    return header + content
