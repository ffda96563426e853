"""Names of providers become addresses: looked up once, checked, and connected to as they were.

Nothing asks again between the check and the connection. A provider's name belongs to somebody else,
who could point it at this network; so by default only public addresses are taken.
"""

import errno
import ipaddress
import socket
from collections.abc import Collection, Sequence

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from pacabench.proxy.web.addresses import AddressPolicy

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


class CheckedResolver(AbstractResolver):
    """Resolves names, and takes no address that the provider's base URL gave no reason for.

    An address that stands in a base URL itself is never asked for here: the user named it.

    Args:
        private: hosts that may be in a private network, because the user's base URL says so.
        refused: addresses and networks beside those that are refused everywhere.
        inner: who looks names up.
    """

    def __init__(
        self,
        private: Collection[str],
        refused: Sequence[str] = (),
        inner: AbstractResolver | None = None,
    ) -> None:
        self._private = frozenset(private)
        self._policy = AddressPolicy(refused)
        self._inner = inner or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """All addresses of ``host``.

        Raises:
            OSError: it has none, or one of them may not be connected to.
        """
        found = await self._inner.resolve(host, port, family)
        for entry in found:
            problem = self._problem(host, entry["host"])
            if problem is not None:
                raise OSError(
                    errno.EACCES,
                    f"{host} has the address {entry['host']}, which is {problem}; where that is "
                    "meant, write the address itself, a local name or an https URL as base_url",
                )
        return found

    async def close(self) -> None:
        """Let go of the inner resolver."""
        await self._inner.close()

    def _problem(self, host: str, text: str) -> str | None:
        if host not in self._private:
            return self._policy.problem(text)
        address = ipaddress.ip_address(text.partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)
        if any((mapped or address) in network for network in _NEVER):
            return "link-local, or a cloud's metadata"
        return None
