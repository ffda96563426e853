"""Attach streams over TLS and ssh, made into plain sockets.

asyncio cannot take over an SSL session that is under way, nor an ssh channel. So a daemon thread
carries bytes between it and one end of a socket pair; asyncio gets the other end.
"""

import contextlib
import selectors
import socket
import ssl
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")

_CHUNK_BYTES = 64 * 1024


def bridged(raw: Any, *, release: Callable[[], None] = lambda: None) -> socket.socket:
    """A non-blocking plain socket that carries what ``raw`` carries.

    ``raw`` is what docker-py's ``attach_socket`` gives: an ``SSLSocket``, a paramiko channel, or
    docker-py's ``SSHSocket`` around an ssh process. It is closed when both directions have ended,
    and then ``release`` is called.
    """
    near, far = socket.socketpair()
    near.setblocking(False)
    carry = _carry_tls if isinstance(raw, ssl.SSLSocket) else _carry_ssh

    def work() -> None:
        try:
            carry(raw, far)
        finally:
            release()

    _spawn(work)
    return near


def _spawn(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="attach-bridge", daemon=True).start()


def _carry_ssh(raw: Any, far: socket.socket) -> None:
    """What the container writes, here; what it reads, in another thread."""
    _spawn(lambda: _carry_up(raw, far))
    with contextlib.suppress(OSError, ValueError):
        while data := raw.recv(_CHUNK_BYTES):
            far.sendall(data)
    with contextlib.suppress(OSError):
        far.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError, ValueError):
        raw.close()


def _carry_up(raw: Any, far: socket.socket) -> None:
    with far, contextlib.suppress(OSError, ValueError):
        while data := far.recv(_CHUNK_BYTES):
            raw.sendall(data)
        _end_ssh_input(raw)


def _end_ssh_input(raw: Any) -> None:
    if hasattr(raw, "shutdown_write"):  # paramiko
        raw.shutdown_write()
    else:  # docker-py's SSHSocket holds an ssh process
        raw.proc.stdin.close()


def _carry_tls(tls: ssl.SSLSocket, far: socket.socket) -> None:
    """Both directions in one thread, because an SSL object must not be used by two at once.

    Each direction ends by itself, as stdin and the output do. A side that takes nothing stops the
    other from being read, and not the other direction.
    """
    up = down = b""
    open_up = open_down = True
    tls.setblocking(False)
    far.setblocking(False)
    with tls, far, selectors.DefaultSelector() as selector, contextlib.suppress(OSError):
        while open_up or open_down or up or down:
            _watch(selector, far, read=open_up and not up, write=bool(down))
            _watch(selector, tls, read=open_down and not down, write=bool(up))
            selector.select(0 if tls.pending() and not down else None)
            if open_down and not down:
                data = _unless_blocked(lambda: tls.recv(_CHUNK_BYTES))
                if data == b"":
                    open_down = False
                    far.shutdown(socket.SHUT_WR)
                down = data or b""
            if open_up and not up:
                data = _unless_blocked(lambda: far.recv(_CHUNK_BYTES))
                if data == b"":
                    open_up = False
                    _half_close(tls)
                up = data or b""
            if down:
                down = down[_unless_blocked(partial(far.send, down)) or 0 :]
            if up:
                up = up[_unless_blocked(partial(tls.send, up)) or 0 :]


def _unless_blocked(work: Callable[[], T]) -> T | None:
    try:
        return work()
    except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return None


def _watch(
    selector: selectors.BaseSelector, sock: socket.socket, *, read: bool, write: bool
) -> None:
    events = (selectors.EVENT_READ if read else 0) | (selectors.EVENT_WRITE if write else 0)
    key = selector.get_map().get(sock)
    if key is None:
        if events:
            selector.register(sock, events)
    elif not events:
        selector.unregister(sock)
    elif key.events != events:
        selector.modify(sock, events)


def _half_close(tls: ssl.SSLSocket) -> None:
    """End the container's stdin; what it writes still comes.

    By closing TCP's direction. ``unwrap`` would send a close_notify first, but also read on, and
    throw away what the container writes meanwhile. Go, in which engines are written, takes an end
    of file between two records for an end of file.
    """
    socket.socket.shutdown(tls, socket.SHUT_WR)  # its own would end the SSL session as well
