"""Which addresses are of the public internet."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.addresses import is_public

# https://www.iana.org/assignments/iana-ipv4-special-registry, and multicast.
INNER = [
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
    *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"),
    *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    "168.63.129.16/32",
]


@pytest.mark.parametrize(
    "address",
    ["93.184.215.14", "2606:4700::1111", "::ffff:93.184.215.14", "64:ff9b::5db8:d70e", "1.1.1.1"],
)
def test_public(address: str) -> None:
    """Hosts that anybody can reach, written either way."""
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *(
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "fe80::1",
            "fe80::1%1",
        ),
        *(
            "fc00::1",
            "fd00:ec2::254",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2002:7f00:1::",
        ),
        *("3fff::1", "5f00::1", "100::1", "::7f00:1"),
    ],
)
def test_not_public(address: str) -> None:
    """One's machine, network and cloud, groups, tunnels, and what is nobody's."""
    assert is_public(address) is False


@pytest.mark.parametrize("network", INNER)
@given(place=st.floats(0, 1))
def test_no_address_of_an_inner_network_is_public(network: str, place: float) -> None:
    """First to last, plain and within IPv6."""
    inside = ip_network(network)
    number = int(inside.network_address) + round(place * (inside.num_addresses - 1))
    address = IPv4Address(number)
    assert not is_public(str(address))
    assert not is_public(f"::ffff:{address}")
    assert not is_public(f"64:ff9b::{number >> 16:x}:{number & 0xFFFF:x}")
