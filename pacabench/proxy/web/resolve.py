"""From a name to a connection: looked up once, every address checked, one of them connected to."""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

from pacabench.proxy.web.addresses import AddressPolicy
from pacabench.proxy.web.record import DeniedError, FailedError
from pacabench.proxy.web.stream import PIECE_BYTES, Limits, Stream

Resolver: TypeAlias = Callable[[str], Awaitable[Sequence[str]]]
"""From a host name to its addresses, as text.

Raises:
    OSError: it has none.
"""
_LOOKUPS = ThreadPoolExecutor(32, thread_name_prefix="lookup")
"""Threads of their own: a name server that is slow on purpose holds up no other lookups."""


async def look_up(host: str, *, hosts: Path = Path("/etc/hosts")) -> Sequence[str]:
    """The system's answer for ``host`` itself. See :data:`Resolver`.

    Resolvers try a name that is not there below their search domains, too: that is another name,
    and nobody allowed it. The dot at the end says that there is nothing below; the ``hosts`` file
    alone knows no such dots.
    """
    found = await asyncio.get_running_loop().run_in_executor(_LOOKUPS, _addresses, host, hosts)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _addresses(host: str, hosts: Path) -> Sequence[tuple[Any, ...]]:
    try:
        lines = hosts.read_text("utf-8", "replace").lower().splitlines()
    except OSError:
        lines = []
    listed = any(host in line.partition("#")[0].split()[1:] for line in lines)
    return socket.getaddrinfo(host if listed else f"{host}.", None, type=socket.SOCK_STREAM)


async def checked_addresses(
    host: str, resolve: Resolver, policy: AddressPolicy, limits: Limits
) -> Sequence[str]:
    """All addresses of ``host``, each of which may be reached.

    Raises:
        DeniedError: one of them may not.
        FailedError: there is none.
    """
    try:
        async with asyncio.timeout(limits.lookup_s):
            addresses = await resolve(host)
    except TimeoutError as error:
        text = f"{host} was not resolved within {limits.lookup_s:g} s"
        raise FailedError("unresolved", text, status=504) from error
    except (OSError, UnicodeError) as error:
        raise FailedError("unresolved", f"{host} does not resolve: {error}") from error
    if not addresses:
        raise FailedError("unresolved", f"{host} has no address")
    for address in addresses:
        problem = policy.problem(address)
        if problem is not None:
            raise DeniedError(
                "address",
                f"{host} has the address {address}, which is {problem}",
                told=f"{host} has an address that is not public",
            )
    return addresses


async def connect(
    host: str, addresses: Sequence[str], port: int, limits: Limits
) -> tuple[Stream, str]:
    """A connection to the first of ``addresses`` that answers, and which it is.

    Raises:
        FailedError: none does.
    """
    problem = ""
    for address in addresses[: limits.addresses]:
        # Numeric, so that nothing is looked up a second time.
        pinned = str(ipaddress.ip_address(address))
        try:
            async with asyncio.timeout(limits.connect_s):
                reader, writer = await asyncio.open_connection(pinned, port, limit=PIECE_BYTES)
        except TimeoutError:
            problem = f"no answer within {limits.connect_s:g} s"
        except OSError as error:
            problem = error.strerror or str(error)
        else:
            return Stream(reader, writer), pinned
    raise FailedError("unreachable", f"{host}:{port} cannot be reached: {problem}")
