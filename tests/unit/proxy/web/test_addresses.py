"""Only the public internet may be reached, in whatever form an address is written."""

from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacabench.proxy.web.addresses import AddressPolicy, own_networks

POLICY = AddressPolicy()


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "91.198.174.192", "2620:0:862:ed1a::1", "64:ff9b::8.8.8.8"]
)
def test_public_addresses_may_be_reached(address: str) -> None:
    assert POLICY.problem(address) is None


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.254", "::", "::1"),
        *("10.0.0.1", "172.16.0.1", "172.17.0.1", "172.31.255.255", "192.168.1.1", "fd00::1"),
        *("169.254.169.254", "169.254.170.2", "fe80::1", "fe80::1%eth0", "fd00:ec2::254"),
        *("100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "192.0.0.170"),
        *("224.0.0.1", "239.255.255.250", "ff02::1", "255.255.255.255", "240.0.0.1"),
        *("192.0.2.1", "198.51.100.7", "203.0.113.9", "198.18.0.1", "2001:db8::1", "3fff::1"),
        *("::ffff:10.0.0.1", "::ffff:8.8.8.8", "::ffff:169.254.169.254", "::7f00:1"),
        *("64:ff9b::10.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b:1::1"),
        *("2002:7f00:1::", "2002:a00:1::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2"),
        *("2620::5efe:10.0.0.1", "2620::200:5efe:192.168.0.1", "fec0::1", "100::1", "5f00::1"),
        "2001:1ff::200:5efe:808:808",
        *("::ffff:0:127.0.0.1", "::ffff:0:8.8.8.8", "200::1", "2ff:1::1", "4000::1", "8000::1"),
        *("64:ff9b:0:1::7f00:1", "1::1", "1fff:ffff::1", "fb00::1"),
        *("example.org", "", "1.2.3", "8.8.8.8/32"),
    ],
)
def test_others_may_not(address: str) -> None:
    assert POLICY.problem(address) is not None


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_no_form_of_a_refused_address_gets_through(address: IPv4Address) -> None:
    refused = POLICY.problem(str(address)) is not None
    assert not refused or POLICY.problem(f"64:ff9b::{address}") is not None
    assert not address.is_private or refused
    assert not address.is_multicast or refused
    mapped = IPv6Address(0xFFFF << 32 | int(address))
    sixtofour = IPv6Address(0x2002 << 112 | int(address) << 80 | 1)
    assert POLICY.problem(str(mapped)) is not None
    assert POLICY.problem(str(sixtofour)) is not None


@given(st.integers(0, 2**128 - 1).map(IPv6Address))
def test_what_python_takes_for_private_is_refused(address: IPv6Address) -> None:
    if POLICY.problem(str(address)) is None:
        assert address.is_global
        assert not address.is_private
        assert not address.is_multicast


def test_an_own_network_is_refused_though_it_be_public() -> None:
    policy = AddressPolicy(["28.1.2.3/255.255.255.0", "8.8.4.4", "2620:0:862::/48"])
    assert policy.problem("28.1.2.77") is not None
    assert policy.problem("8.8.4.4") is not None
    assert policy.problem("2620:0:862:ed1a::1") is not None
    assert policy.problem("28.1.3.77") is None
    assert policy.problem("8.8.8.8") is None


class TestOwnNetworks:
    def test_neighbours_and_gateways_are_read_from_the_kernels_tables(self, tmp_path: Path) -> None:
        (tmp_path / "route").write_text(
            "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
            "eth0\t00000000\t0102011C\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
            "eth0\t0002011C\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
        )
        (tmp_path / "if_inet6").write_text(
            "fd000000000000000000000000000002 04 40 00 82     eth0\n"
        )
        found = {str(ip_network(text, strict=False)) for text in own_networks(tmp_path)}
        assert found == {"28.1.2.1/32", "28.1.2.0/24", "fd00::/64"}

    def test_no_tables_are_no_networks(self, tmp_path: Path) -> None:
        assert own_networks(tmp_path) == []

    def test_this_machines_are_understood(self) -> None:
        AddressPolicy(own_networks())
