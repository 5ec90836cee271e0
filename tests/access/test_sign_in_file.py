"""The file about sign-in: every mistake is named at once, with its line; what it says is what counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from cds.exchange import NotPermitted
from cds.record.recorder import Recorder
from cds.service.access.mounting import mount
from cds.service.access.providers import SignInFileError, load_ways
from cds.settings import Settings
from tests.access.vouching import SECRET, provider_file

GOOD = """
local: false
providers:
  - name: clinic
    label: Account of the clinic
    issuer: https://login.clinic.example/staff
    client: exowatch
    secret_file: clinic.secret
    servers: https://keys.clinic.example
    networks: [10.20.0.0/16]
    algorithms: [RS256, PS256]
    scope: openid profile groups
    name_claim: upn
    roles:
      claim: realm_access.roles
      map:
        tumour-board: reviewer
        board-chairs: [chair, reader]
smart:
  - iss: https://ehr.example/fhir/
    client: exowatch-launch
    gives: reader
  - iss: https://other.example/r4
    issuer: https://login.other.example
    client: exowatch
    gives: [reader]
    roles: {claim: staff, map: {"yes": [reviewer]}}
"""


def test_what_it_says_is_what_counts(tmp_path: Path) -> None:
    ways = load_ways(provider_file(tmp_path, GOOD))
    assert not ways.local
    (clinic,) = ways.providers
    assert (clinic.key, clinic.label, clinic.issuer) == (
        "clinic",
        "Account of the clinic",
        "https://login.clinic.example/staff",
    )
    assert (clinic.secret, clinic.scope, clinic.name_claim) == (SECRET, "openid profile groups", "upn")
    assert clinic.algorithms == ("RS256", "PS256")
    assert clinic.permit.origins == {"https://login.clinic.example", "https://keys.clinic.example"}
    assert (clinic.permit.plain, clinic.permit.allows("10.20.1.1"), clinic.permit.allows("127.0.0.1")) == (
        False,
        True,
        False,
    )
    for claims, roles in (
        ({"realm_access": {"roles": ["tumour-board", "x"]}}, {"reviewer"}),
        ({"realm_access": {"roles": ["tumour-board", "board-chairs"]}}, {"reviewer", "chair", "reader"}),
        ({"realm_access": {"roles": "board-chairs"}}, {"chair", "reader"}),
        ({"realm_access": ["roles"]}, set()), ({"roles": ["tumour-board"]}, set()), ({"realm_access": {"roles": {"tumour-board": 1}}}, set()),
        ({"realm_access": {"roles": [["tumour-board"], None]}}, set()), ({}, set()),
    ):  # fmt: skip
        assert set(clinic.mapped.of(claims)) == roles, claims
    first, second = ways.ehrs
    assert (first.iss, first.issuer, first.secret, first.scope) == (
        "https://ehr.example/fhir",
        "",
        "",
        "openid fhirUser",
    )
    assert set(first.mapped.of({})) == {"reader"}
    assert second.permit.origins == {"https://other.example", "https://login.other.example"}
    assert set(second.mapped.of({"staff": "yes"})) == {"reader", "reviewer"}


def test_without_a_file_there_are_passwords_of_ours() -> None:
    ways = load_ways(None)
    assert (ways.local, ways.providers, ways.ehrs) == (True, (), ())


def test_in_development_mode_http_and_loopback_will_do(tmp_path: Path) -> None:
    text = "smart:\n  - {iss: 'http://localhost:8080/fhir', client: a, gives: reader}\n"
    path = provider_file(tmp_path, text)
    (ehr,) = load_ways(path, open_mode=True).ehrs
    ehr.permit.check("http://localhost:8080/fhir")
    assert ehr.permit.allows("127.0.0.1")
    with pytest.raises(NotPermitted):
        ehr.permit.check("http://localhost:8081/fhir")
    with pytest.raises(SignInFileError, match=r"sign-in.yaml:2:\d+: 'http://localhost:8080/fhir'"):
        load_ways(path)


BAD = """
local: maybe
locale: en
providers:
  - name: Clinic of ours
    issuer: http://login.clinic.example
    client: exowatch
    secret_file: no.secret
    networks: [10.20.0.0/99]
    certificates: no.pem
    algorithms: [RS256, HS256]
    scope: profile
    roles:
      claim: groups
      map: {board: boss}
  - name: twice
    issuer: https://a.example
    client: a
    roles: {claim: groups, map: {}}
  - name: twice
    client: a
    roles: {map: {a: reader}}
smart:
  - iss: https://user@ehr.example/fhir
    client: a
  - client: a
    gives: [nobody]
"""


def test_every_mistake_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(SignInFileError) as raised:
        load_ways(provider_file(tmp_path, BAD))
    told = str(raised.value).splitlines()
    for line, words in (
        (2, "'local: maybe' is not known"), (3, "unknown key 'locale' (did you mean 'local'?)"), (5, "'Clinic of ours' cannot stand in an address"),
        (6, "'http://login.clinic.example'"), (8, "there is no secret in"), (9, "'10.20.0.0/99' is no address range"), (10, "there is no file"),
        (11, "'HS256' is no signature that may be allowed"), (12, "without 'openid' nobody says who somebody is"), (15, "'boss' is no role"),
        (19, "no value gives a role"), (4, "the name 'twice' stands twice"), (20, "'issuer' is missing"), (22, "'claim' is missing"),
        (24, "'https://user@ehr.example/fhir'"), (24, "nothing says which roles people have"), (26, "'iss' is missing"), (27, "'nobody' is no role"),
    ):  # fmt: skip
        assert any(f"sign-in.yaml:{line}:" in one and words in one for one in told), (line, words, told)
    assert SECRET not in str(told)


@pytest.mark.parametrize(("text", "words"), [
    ("local: false\n", "nobody could sign in"), ("[]", "is to hold a mapping"), ("local: [", "not YAML"), ("providers: 7", "list of mappings"),
])  # fmt: skip
def test_a_file_that_is_none(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SignInFileError, match=words):
        load_ways(provider_file(tmp_path, text))


def test_a_file_that_is_not_there_stops_the_service(tmp_path: Path) -> None:
    from fastapi import FastAPI

    from cds.record.database import Database
    from tests.record.visits import REASONER

    settings = Settings(open_mode=True, sign_in_file=tmp_path / "nothing.yaml")
    recorder = Recorder(Database(f"sqlite:///{tmp_path}/record.sqlite"), REASONER.rulebook)
    with pytest.raises(SignInFileError, match="Set EXOWATCH_SIGN_IN_FILE to one"):
        mount(FastAPI(), settings, recorder, lambda: None)  # type: ignore[arg-type, return-value]  # nobody asks it
    recorder.database.close()
