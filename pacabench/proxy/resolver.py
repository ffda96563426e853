"""Names of providers become addresses: looked up once, checked, and connected to as they were.

Nothing asks again between the check and the connection. A provider's name belongs to somebody else,
who could point it at this network; so by default only public addresses are taken.
"""

import asyncio
import errno
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Collection, Sequence
from time import monotonic
from typing import TypeAlias

from pacabench.proxy.web.addresses import AddressPolicy

KNOWN_FOR_S = 300.0
"""How long an answer serves."""
_NEVER = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "169.254.0.0/16",
        "168.63.129.16/32",
        "100.100.100.200/32",
        "192.0.0.192/32",
        "fd00:ec2::254/128",
        "fe80::/10",
        "224.0.0.0/4",
        "ff00::/8",
    )
)
"""Link-local addresses and those where clouds keep credentials, also in a private network."""

LookUp: TypeAlias = Callable[[str], Awaitable[Sequence[str]]]
"""From a host name to its addresses, as text.

Raises:
    OSError: it has none.
"""


async def look_up(host: str) -> Sequence[str]:
    """The system's answer, search domains included: who writes ``gpu-box`` means them."""
    found = await asyncio.get_running_loop().getaddrinfo(
        host, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
    )
    return list(dict.fromkeys(_numeric(entry[4]) for entry in found))


class CheckedResolver:
    """Resolves names, and takes no address that the provider's base URL gave no reason for.

    Args:
        private: hosts that may be in a private network, because the user's base URL says so.
        refused: addresses and networks beside those that are refused everywhere.
        inner: who looks names up.
    """

    def __init__(
        self, private: Collection[str], refused: Sequence[str] = (), inner: LookUp | None = None
    ) -> None:
        self._private = frozenset(private)
        self._policy = AddressPolicy(refused)
        self._inner = inner
        self._known: dict[str, tuple[float, Sequence[str]]] = {}
        """Until when, and the addresses."""
        self._under_way: dict[str, asyncio.Task[Sequence[str]]] = {}

    async def addresses(self, host: str) -> Sequence[str]:
        """All addresses of ``host``, each time beginning with another one.

        One that is an address already is not looked at: it stands in a base URL, the user named it.

        Raises:
            OSError: it has none, or one of them may not be connected to.
        """
        if _is_address(host):
            return [host]
        until, found = self._known.get(host, (0.0, ()))
        if monotonic() >= until:
            # Calls that come together ask once; one that is cut takes no answer from the others.
            found = await asyncio.shield(self._asked(host))
        self._known[host] = (self._known[host][0], (*found[1:], found[0]))
        return found

    def _asked(self, host: str) -> asyncio.Task[Sequence[str]]:
        if host not in self._under_way:
            task = self._under_way[host] = asyncio.create_task(self._looked_up(host))
            task.add_done_callback(lambda _: self._under_way.pop(host))
            task.add_done_callback(_heard)
        return self._under_way[host]

    async def _looked_up(self, host: str) -> Sequence[str]:
        found = await (self._inner or look_up)(host)
        if not found:
            raise OSError(errno.ENOENT, f"{host} has no address")
        for address in found:
            problem = self._problem(host, address)
            if problem is not None:
                raise OSError(
                    errno.EACCES,
                    f"{host} has the address {address}, which is {problem}; where that is "
                    "meant, write the address itself, a local name or an https URL as base_url",
                )
        self._known[host] = (monotonic() + KNOWN_FOR_S, found)
        return found

    def _problem(self, host: str, text: str) -> str | None:
        if host not in self._private:
            return self._policy.problem(text)
        address = ipaddress.ip_address(text.partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)
        if any((mapped or address) in network for network in _NEVER):
            return "link-local, or a cloud's metadata"
        return None


def _heard(task: asyncio.Task[Sequence[str]]) -> None:
    """Whoever asked may be gone: then nobody else looks at what went wrong."""
    if not task.cancelled():
        task.exception()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _numeric(place: tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]) -> str:
    """The address in ``place``, an IPv6 one with its scope."""
    host = str(place[0])
    scope = place[3] if len(place) > 3 else 0  # noqa: PLR2004 - as sockets write IPv6
    return f"{host}%{scope}" if scope and "%" not in host else host
