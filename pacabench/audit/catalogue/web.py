"""Attacks on the way to the web: reaching anything but the hosts on the list."""

from pacabench.audit import mutations as m
from pacabench.audit.attack import Attack, Control, Group

_GATEWAY = "the proxy lets agents past it; that is a bug in PacaBench: update it, else report it"
_NOT_THE_INTERNET = "the internet is a container that owns the addresses: no packet leaves"


WEB: tuple[Attack, ...] = (
    Attack(
        id="network.web-denied-names",
        group=Group.NETWORK,
        title="Web: hosts off the list",
        tried="hosts and ports that are not on the list, and look-alikes",
        expected="403: only what is listed, to the letter",
        remedy=_GATEWAY,
        control=Control(m.NAIVE_PROXY, stand_in=_NOT_THE_INTERNET),
    ),
    Attack(
        id="network.web-private-addresses",
        group=Group.NETWORK,
        title="Web: names of private addresses",
        tried="listed names that resolve to private, loopback, metadata and mixed addresses",
        expected="403: every address of a name has to be public",
        remedy=_GATEWAY,
        control=Control(m.NAIVE_PROXY, stand_in=_NOT_THE_INTERNET),
    ),
    Attack(
        id="network.web-addresses",
        group=Group.NETWORK,
        title="Web: addresses",
        tried="addresses in place of names, in all spellings",
        expected="403: an address is no host",
        remedy=_GATEWAY,
        control=Control(m.NAIVE_PROXY, stand_in=_NOT_THE_INTERNET),
    ),
    Attack(
        id="network.web-sni",
        group=Group.NETWORK,
        title="Web: another host in TLS",
        tried="TLS in a tunnel that names another host, or none",
        expected="the tunnel ends before a byte passes",
        remedy=_GATEWAY,
        control=Control(m.NAIVE_PROXY, stand_in=_NOT_THE_INTERNET),
    ),
    Attack(
        id="network.web-tunnel-in-tunnel",
        group=Group.NETWORK,
        title="Web: a tunnel in the tunnel",
        tried="HTTP, SSH, SOCKS and CONNECT inside a tunnel",
        expected="the tunnel ends: nothing but TLS passes",
        remedy=_GATEWAY,
        control=Control(m.NAIVE_PROXY, stand_in=_NOT_THE_INTERNET),
    ),
    Attack(
        id="network.web-other-host",
        group=Group.NETWORK,
        title="Web: another host at the same address",
        tried="another Host, smuggled, pipelined and upgraded requests",
        expected="refused, or written anew for the host that was asked for",
        remedy=_GATEWAY,
        control=Control(m.NAIVE_PROXY, stand_in=_NOT_THE_INTERNET),
    ),
    Attack(
        id="network.web-redirects",
        group=Group.NETWORK,
        title="Web: redirects",
        tried="a listed host that redirects to a private address",
        expected="the redirect is handed on and not followed",
        remedy=_GATEWAY,
        control=Control(m.NAIVE_PROXY, stand_in=_NOT_THE_INTERNET),
    ),
)
