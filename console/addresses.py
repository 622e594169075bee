"""Which addresses of the network are public."""

import ipaddress

# Allowed is only what is globally routable and not set aside for something else; a list of what is
# forbidden always misses one (IANA IPv4 and IPv6 Special-Purpose Address Registries).
_IPV4_SPECIAL = [
    ipaddress.ip_network(network)
    for network in (
        # In parts set aside, and read differently by different versions of Python.
        "192.0.0.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.175.48.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
]
_IPV6_GLOBAL = ipaddress.ip_network("2000::/3")
_IPV6_SPECIAL = [
    ipaddress.ip_network(network)
    for network in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
]


def is_public(address: str) -> bool:
    """Whether we may connect to this IPv4 or IPv6 address."""
    ip = ipaddress.ip_address(address)
    if ip.version == 6:
        return ip in _IPV6_GLOBAL and not any(ip in network for network in _IPV6_SPECIAL)
    return ip.is_global and not any(ip in network for network in _IPV4_SPECIAL)
