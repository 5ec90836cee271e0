"""One server has one spelling, and what is no address is refused."""

from __future__ import annotations

import pytest

from cds.addresses import base, origin


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("https://ehr.example/fhir", "https://ehr.example/fhir"), ("HTTPS://EHR.Example.:443/fhir/", "https://ehr.example/fhir"),
        ("https://ehr.example:0443/FHIR//", "https://ehr.example/FHIR"), ("http://localhost:80", "http://localhost"),
        ("http://localhost:8080/", "http://localhost:8080"), ("https://[2001:DB8:0::1]:443/r4", "https://[2001:db8::1]/r4"),
    ],
)  # fmt: skip
def test_one_server_has_one_spelling(address: str, found: str) -> None:
    assert base(address) == found
    assert base(found) == found
    assert found.startswith(origin(address))


@pytest.mark.parametrize(
    "address",
    [
        "", "ehr.example/fhir", "/fhir", "ftp://ehr.example", "https://", "https://a..b/fhir", "https://.b/fhir", "https://b../x",
        f"https://{'a' * 64}.example", "https://user@ehr.example", "https://@ehr.example", "https://ehr.example:99999", "https://[::1",
        "https://[fe80::1%25eth0]/", "https://ehr.example%00.evil", "https://ehr.example\\@evil", "https://éhr.example",
        "https://ehr.example/ fhir", "https://ehr.example/\0",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(address: str) -> None:
    for read in (base, origin):
        with pytest.raises(ValueError, match=r"address|host|Port|IPv6|netloc"):
            read(address)


@pytest.mark.parametrize("address", ["https://ehr.example/?", "https://ehr.example/fhir?a=b", "https://ehr.example#"])
def test_a_base_says_no_more_than_where_a_server_is(address: str) -> None:
    assert origin(address) == "https://ehr.example"
    with pytest.raises(ValueError, match="says more"):
        base(address)
