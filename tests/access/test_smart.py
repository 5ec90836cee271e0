"""An EHR opens the board at a patient: SMART App Launch against a real EHR on loopback."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cds.record.accounts import TERMINAL
from cds.record.database import Database
from cds.record.erasure import merge
from cds.record.identity import Identity
from tests.access.people import Browser, House, known
from tests.access.vouching import Voucher, provider_file, vouching
from tests.exchange.servers import says

FILE = """
smart:
  - iss: {base}/fhir/
    client: exowatch
    secret_file: clinic.secret
    {roles}
"""
GIVES = "gives: [reviewer]"


class Hospital:
    """An EHR with two patients of whom the record holds evaluations, and a third whom it does not know."""

    def __init__(self, database: Database, voucher: Voucher, folder: Path, roles: str = GIVES):
        self.voucher, self.iss = voucher, f"{voucher.base}/fhir"
        self.house = House(database, ways=provider_file(folder, FILE.format(base=voucher.base, roles=roles)))
        self.rows = {name: known(database, self.who(name)) for name in ("a29", "b30")}
        self.house.open()
        voucher.granted = {"patient": "a29", "encounter": "e-1"}
        voucher.claims |= {"fhirUser": f"{self.iss}/Practitioner/7"}

    def who(self, name: str) -> Identity:
        return Identity("default", self.iss, f"Patient/{name}")

    def launches(self, browser: Browser, launch: str = "xyz", iss: str = "") -> Any:
        """The answer to a browser that comes back from the EHR."""
        query = {"iss": iss or self.iss} | ({"launch": launch} if launch else {})
        out = browser.http.get("/launch", params=query)
        assert out.status_code == 303, out.text
        out.headers["Location"] = self.voucher.goes(out.headers["Location"])
        return browser.follows(out)


@pytest.fixture
def near(tmp_path: Path) -> Iterator[Database]:
    found = Database(f"sqlite:///{tmp_path}/record.sqlite", deadline=10)
    with closing(found):
        found.upgrade()
        yield found


@pytest.fixture
def opened(near: Database, tmp_path: Path) -> Iterator[Callable[..., Hospital]]:
    hospitals: list[Hospital] = []
    with vouching(lambda: hospitals[0].house.now) as voucher:

        def open_(roles: str = GIVES) -> Hospital:
            hospitals.insert(0, Hospital(near, voucher, tmp_path, roles))
            return hospitals[0]

        yield open_


@pytest.fixture
def hospital(opened: Callable[..., Hospital]) -> Hospital:
    return opened()


def test_a_launch_opens_the_patient_and_no_other(hospital: Hospital) -> None:
    browser = hospital.house.browser()
    answer = hospital.launches(browser)
    mine, other = hospital.rows["a29"], hospital.rows["b30"]
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/board/patients/{mine}")
    assert browser.follows(answer).text == "<p>Dr Anna Berg</p>"
    (asked,) = hospital.voucher.asked
    assert (asked["aud"], asked["launch"], asked["scope"]) == (hospital.iss, "xyz", "openid fhirUser launch")
    assert asked["redirect_uri"] == "http://localhost/launch/back"
    for path in (f"/board/patients/{other}", "/board", "/accounts", "/audit"):
        assert browser.get(path).status_code == 403, path
    assert [(actor, action) for actor, action, _ in hospital.house.entries()[-6:]] == [
        ("anna.berg", "sign-in"), ("anna.berg", "view"), *[("anna.berg", "view-refused")] * 4,
    ]  # fmt: skip
    (account,) = hospital.house.accounts.listed("default")
    assert (account.issuer, set(account.roles)) == (hospital.iss, {"reviewer"})
    hospital.voucher.granted["patient"] = "b30"  # the next patient: the session is of that one now
    hospital.launches(browser)
    assert browser.get(f"/board/patients/{other}").status_code == 200
    assert browser.get(f"/board/patients/{mine}").status_code == 403


def test_a_launch_without_an_ehr_s_context_asks_for_a_patient(hospital: Hospital) -> None:
    answer = hospital.launches(hospital.house.browser(), launch="", iss=f"{hospital.iss}/")
    assert answer.headers["Location"] == f"/board/patients/{hospital.rows['a29']}"
    (asked,) = hospital.voucher.asked
    assert asked["scope"] == "openid fhirUser launch/patient"
    assert "launch" not in asked


def test_a_patient_who_replaced_another_is_the_one_that_opens(hospital: Hospital, near: Database) -> None:
    merge(near, hospital.who("b30"), hospital.who("a29"), "records office")
    assert hospital.launches(hospital.house.browser()).headers["Location"] == f"/board/patients/{hospital.rows['b30']}"


@pytest.mark.parametrize(
    "iss",
    ["", "https://evil.example/fhir", "{base}", "{base}/fhir2", "{base}/fhir/Patient", "{base}/fhir?x", "//evil", "\0"],
)
def test_an_ehr_that_is_not_listed_is_not_asked(hospital: Hospital, iss: str) -> None:
    with vouching(lambda: hospital.house.now) as other:
        for stated in (iss.format(base=hospital.voucher.base), f"{other.base}/fhir"):
            answer = hospital.house.browser().http.get("/launch", params={"iss": stated, "launch": "xyz"})
            assert (answer.status_code, "You were not let in" in answer.text) == (403, True)
        for server in (hospital.voucher.server, other.server):
            assert server is not None
            assert server.asked == []
    assert {action for _, action, _ in hospital.house.entries()} == {
        "evaluate"
    }  # any page can send a browser here: no entry


def test_a_patient_whom_the_record_does_not_know(hospital: Hospital, near: Database) -> None:
    elsewhere = Identity("default", "https://other.example/fhir", "Patient/c31")
    nowhere = Identity("default", "", "Patient/c31")
    for who in (elsewhere, nowhere):  # the same id on another server, or on one that nobody stated, is another patient
        known(near, who)
    hospital.voucher.granted["patient"] = "c31"
    browser = hospital.house.browser()
    answer = hospital.launches(browser)
    assert (answer.status_code, "This patient is not known here" in answer.text) == (404, True)
    assert "not the same as nothing to report" in answer.text
    assert not browser.is_in()
    assert hospital.house.accounts.listed("default") == []


NOT_STAFF = (
    "https://ehr.example/fhir/Patient/a29", "Patient/a29", "RelatedPerson/3", "Patient/a29/_history/3", "https://ehr.example/fhir/Patient/a29/", "Patient/a29#x/y", "Device/1",
    "https://ehr.example/fhir/Group/3", "Person/7", "Practitioner/7/_history/2", "Practitioner", "Practitioner/", "practitioner/7",
    "Patient/a29?x=/Practitioner/7", "Practitioner/7\n", "", 7, ["Practitioner/7"],
)  # fmt: skip
"""What an EHR may say of who signs in that is nobody of the staff, or not surely."""


def says_of_user(user: object, voucher: Voucher) -> None:
    voucher.claims["fhirUser"] = user


WRONG: dict[str, Callable[[Voucher], None]] = {
    "no patient": lambda voucher: voucher.granted.update(patient=None),
    "a patient that is none": lambda voucher: voucher.granted.update(patient="../b30"),
    "a patient that is no text": lambda voucher: voucher.granted.update(patient=["a29"]),
    **{f"{user} signs in": partial(says_of_user, user) for user in NOT_STAFF},
    "nobody is said to sign in": lambda voucher: voucher.claims.pop("fhirUser"),
    "nobody says who it is": lambda voucher: voucher.granted.update(id_token=None),
    "another nonce": lambda voucher: voucher.bent.update(nonce="x"),
    "another issuer": lambda voucher: voucher.bent.update(iss="https://evil.example"),
    "another state": lambda voucher: voucher.sent.update(state="x"),
    "unsigned": lambda voucher: setattr(voucher, "signed", lambda claims: voucher.by_hand(claims, "none", b"x")),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_a_launch_that_is_not_as_it_must_be(hospital: Hospital, wrong: str) -> None:
    WRONG[wrong](hospital.voucher)
    browser = hospital.house.browser()
    answer = hospital.launches(browser)
    assert (answer.status_code, browser.is_in()) == (403, False)
    assert hospital.house.entries()[-1][:2] == ("unknown", "sign-in-refused")
    assert hospital.house.accounts.listed("default") == []


def test_roles_come_from_a_claim_where_the_site_says_so(opened: Callable[..., Hospital]) -> None:
    hospital = opened("roles: {claim: resource.board.roles, map: {chair: [chair]}}")
    assert hospital.launches(hospital.house.browser()).status_code == 403
    hospital.voucher.claims["resource"] = {"board": {"roles": ["chair"]}}
    assert hospital.launches(hospital.house.browser()).status_code == 303
    assert hospital.house.accounts.listed("default")[0].roles == {"chair"}
    hospital.house.accounts.disable("default", "anna.berg", TERMINAL)
    assert hospital.launches(hospital.house.browser()).status_code == 403


@pytest.mark.parametrize(
    "user", ["Practitioner/7", "PractitionerRole/a.b-7", "https://elsewhere.example/fhir/Practitioner/7"]
)
def test_staff_is_let_in(hospital: Hospital, user: str) -> None:
    hospital.voucher.claims["fhirUser"] = user
    assert hospital.launches(hospital.house.browser()).status_code == 303


def test_a_site_says_that_a_person_is_of_its_staff(opened: Callable[..., Hospital]) -> None:
    hospital = opened("gives: [reader]\n    staff: [Person]")
    for user, status in (("Person/7", 303), ("Practitioner/7", 403), ("Patient/a29", 403)):
        hospital.voucher.claims["fhirUser"] = user
        assert hospital.launches(hospital.house.browser()).status_code == status, user


def test_whoever_did_not_begin_here_writes_nothing_into_the_audit(hospital: Hospital) -> None:
    before = hospital.house.entries()
    for _ in range(20):
        assert hospital.house.browser().get("/launch/back?code=x&state=y").status_code == 403
        assert hospital.house.browser().get("/launch?iss=https://evil.example").status_code == 403
    assert hospital.house.entries() == before


def test_an_ehr_says_elsewhere_who_signs_its_tokens(opened: Callable[..., Hospital]) -> None:
    hospital = opened()
    smart = {name: hospital.voucher.configuration()[name] for name in ("authorization_endpoint", "token_endpoint")}
    hospital.voucher.odd["/fhir/.well-known/smart-configuration"] = says(
        json.dumps(smart | {"issuer": hospital.voucher.base}).encode()
    )
    assert hospital.launches(hospital.house.browser()).status_code == 303


def test_an_ehr_that_does_not_answer(hospital: Hospital) -> None:
    hospital.voucher.odd["/fhir/.well-known/smart-configuration"] = says(b"", 500)
    answer = hospital.house.browser().http.get("/launch", params={"iss": hospital.iss, "launch": "xyz"})
    assert (answer.status_code, "does not answer as it should" in answer.text) == (502, True)


def test_without_an_ehr_in_the_file_there_is_no_launch(near: Database) -> None:
    assert House(near).open().browser().get("/launch?iss=x").status_code == 404
