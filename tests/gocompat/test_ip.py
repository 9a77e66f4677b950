"""IP addresses and their canonical text."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spade_spark.gocompat.ip import canonical_ip


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0:0:0:0:0:0001", "2001:db8::1"),
        ("1:0:0:2:3:0:0:4", "1::2:3:0:0:4"),
        ("1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7"),
        ("::", "::"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:c000:201", "192.0.2.1"),
        ("::192.0.2.1", "::c000:201"),
        ("64:ff9b::192.0.2.1", "64:ff9b::c000:201"),
        ("00000001::", "1::"),
    ],
)
def test_the_canonical_text(address, text):
    assert canonical_ip(address) == text


@pytest.mark.parametrize(
    "address",
    [
        "",
        "localhost",
        "192.0.2",
        "192.0.2.1.1",
        "192.0.2.256",
        "192.0.02.1",
        "192.0.2.1 ",
        "192.0.2.\u0661",
        "192.0.2.1:80",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "1:2:3:4::5:6:7:8",
        "1::2::3",
        ":::",
        ":1::",
        "1:",
        "10000::",
        "fe80::1%eth0",
        "192.0.2.1::",
        "1:2:3:4:5:192.0.2.1:6",
        "1:2:3:4:5:6:7:192.0.2.1",
    ],
)
def test_strings_that_are_not_addresses(address):
    with pytest.raises(ValueError, match=r"not an? .*address|range\(0, 256\)"):
        canonical_ip(address)


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6))
def test_the_canonical_text_is_the_same_address(address):
    packed = ipaddress.ip_address(canonical_ip(str(address)))
    mapped = getattr(address, "ipv4_mapped", None)
    assert packed == (mapped or address)
    assert canonical_ip(str(packed)) == canonical_ip(str(address))
