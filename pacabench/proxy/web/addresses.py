"""Which addresses are the public internet, and so may be reached for an agent.

A name on the allow-list is somebody else's to point where they like: at this machine, at its
neighbours, at a cloud's metadata. Every address that a name has is checked, and the connection goes
to one of those that were checked.

Source: the IANA special-purpose address registries,
https://www.iana.org/assignments/iana-ipv4-special-registry and .../iana-ipv6-special-registry.
"""

import ipaddress
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

# Not only `is_global`: what that says differs from one Python version to the next.
_REFUSED: Sequence[tuple[str, str]] = (
    ("0.0.0.0/8", "unspecified"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "shared by a carrier"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local, where clouds keep their metadata"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "reserved"),
    ("192.0.2.0/24", "for documentation"),
    ("192.31.196.0/24", "reserved"),
    ("192.52.193.0/24", "reserved"),
    ("192.88.99.0/24", "a 6to4 relay"),
    ("192.168.0.0/16", "private"),
    ("192.175.48.0/24", "reserved"),
    ("198.18.0.0/15", "for benchmarks"),
    ("198.51.100.0/24", "for documentation"),
    ("203.0.113.0/24", "for documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
    ("168.63.129.16/32", "a cloud's metadata"),  # Azure's, in the middle of public ones
    ("::/96", "unspecified, loopback or IPv4-compatible"),
    ("::ffff:0:0/96", "IPv4-mapped"),
    ("64:ff9b:1::/48", "a local translation to IPv4"),
    ("100::/64", "a black hole"),
    ("2001::/32", "Teredo"),
    ("2001:2::/48", "for benchmarks"),
    ("2001:10::/28", "reserved"),
    ("2001:20::/28", "reserved"),
    ("2001:db8::/32", "for documentation"),
    ("2002::/16", "6to4"),
    ("3fff::/20", "for documentation"),
    ("5f00::/16", "reserved"),
    ("fc00::/7", "private"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "site-local"),
    ("ff00::/8", "multicast"),
)
_NETWORKS: Sequence[tuple[Network, str]] = tuple(
    (ipaddress.ip_network(text), what) for text, what in _REFUSED
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""Public IPv4 addresses as networks without IPv4 write them."""
_PUBLIC_IPV6 = ipaddress.ip_network("2000::/3")
"""All that was ever given out (RFC 4291, 2.4). What uses other ones, such as a translation to IPv4
(``::ffff:0:0:0/96``, RFC 2765) or an overlay (``200::/7``), is a network of somebody's own."""
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})
"""The third quarter of an IPv6 address whose last one is an IPv4 address (RFC 5214)."""


class AddressPolicy:
    """What may be reached: public addresses, but for ``refused`` ones.

    Args:
        refused: addresses and networks beside those that are refused everywhere, such as this
            machine's own.
    """

    def __init__(self, refused: Iterable[str] = ()) -> None:
        self._refused = [ipaddress.ip_network(text, strict=False) for text in refused]

    def problem(self, text: str) -> str | None:
        """Why the address ``text`` must not be reached; None where it may be."""
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return "no address"
        if any(address in network for network in self._refused):
            return "this machine's own, or its neighbour's"
        for network, what in _NETWORKS:
            if address in network:
                return what
        inside = _inner_address(address)
        if inside is not None:
            problem = self.problem(str(inside))
            if problem is not None:
                return f"an IPv4 address in IPv6 that is {problem}"
        if not address.is_global or address.is_multicast or _is_not_given_out(address):
            return "not public"
        return None


def _is_not_given_out(address: Address) -> bool:
    if not isinstance(address, ipaddress.IPv6Address) or address in _NAT64:
        return False
    return address not in _PUBLIC_IPV6


def _inner_address(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that ``address`` leads to."""
    if not isinstance(address, ipaddress.IPv6Address):
        return None
    value = int(address)
    if address in _NAT64 or (value >> 32) & 0xFFFFFFFF in _ISATAP:
        return ipaddress.IPv4Address(value & 0xFFFFFFFF)
    return None


def own_networks(proc: Path = Path("/proc/net")) -> list[str]:
    """The networks that this process's network namespace is in: its neighbours, its gateways.

    Public ones too: a bridge may have any addresses. Empty where there is no such table.
    """
    return [*_ipv4_routes(proc / "route"), *_ipv6_addresses(proc / "if_inet6")]


def _ipv4_routes(table: Path) -> Iterable[str]:
    """Destinations that are reached without a gateway, and the gateways themselves."""
    for line in _lines(table)[1:]:
        fields = line.split()
        destination, gateway, mask = (_ipv4(fields[at]) for at in (1, 2, 7))
        if int(gateway):
            yield str(gateway)
        elif int(mask):
            yield f"{destination}/{mask}"


def _ipv6_addresses(table: Path) -> Iterable[str]:
    """The networks of this namespace's own addresses."""
    for line in _lines(table):
        digits, _, prefix = line.split()[:3]
        address = ipaddress.IPv6Address(bytes.fromhex(digits))
        yield f"{address}/{int(prefix, 16)}"


def _lines(table: Path) -> list[str]:
    try:
        return table.read_text("ascii").splitlines()
    except OSError:
        return []


def _ipv4(digits: str) -> ipaddress.IPv4Address:
    """The kernel prints addresses as numbers of the machine's own byte order."""
    return ipaddress.IPv4Address(socket.htonl(int(digits, 16)))
