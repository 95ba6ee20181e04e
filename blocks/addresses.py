"""Addresses: which are of the public internet, and which may be inside of somebody's network."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

__all__ = ["is_public"]

# What `is_global` of some Python lets pass, but no host on the internet has.
_NOBODY = [
    *map(ip_network, ("192.0.0.0/24", "192.88.99.0/24")),  # IANA's registry for special purposes
    # Azure's own, for the agent of a machine: who is in, gets answers.
    # https://learn.microsoft.com/en-us/azure/virtual-network/what-is-ip-address-168-63-129-16
    ip_network("168.63.129.16/32"),
    # Tunnels, which lead to what is embedded in them; documentation.
    *map(ip_network, ("2001::/23", "2002::/16", "3fff::/20")),
]
# What IANA gives out for hosts: all of the rest is special, local or to be.
_UNICAST = ip_network("2000::/3")
# IPv4 through a translator (RFC 6052, section 2.1): how networks without it reach it.
_TRANSLATED = ip_network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Whether an IP address is that of a host on the public internet.

    Not those of this machine, of private and carriers' networks, link-local (where clouds keep a
    machine's credentials), multicast or reserved (https://www.iana.org/assignments/
    iana-ipv4-special-registry and iana-ipv6-special-registry), nor IPv6 that stands for one of
    them.

    >>> is_public("93.184.215.14"), is_public("169.254.169.254"), is_public("::ffff:10.0.0.1")
    (True, False, False)
    """
    found: IPv4Address | IPv6Address = ip_address(address)
    if isinstance(found, IPv6Address) and (inside := _embedded(found)):
        found = inside
    if found.is_multicast or not found.is_global or any(found in net for net in _NOBODY):
        return False
    return found.version == 4 or found in _UNICAST


def _embedded(address: IPv6Address) -> IPv4Address | None:
    if address in _TRANSLATED:
        return IPv4Address(address.packed[12:])
    return address.ipv4_mapped
