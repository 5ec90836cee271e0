"""The same patient however a request spells their FHIR server, or names none; and never the patient of another client."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import String, select
from starlette.testclient import TestClient

from cds.record import spelling, tables
from cds.record.audit import verify
from cds.record.database import Database
from cds.record.identity import Identity, identified
from cds.record.listing import Wanted, advisories, issues
from cds.record.recorder import Recorder
from cds.selfcheck import shipped_example
from cds.service.app import create_app
from cds.service.clients import load_clients
from cds.service.discovery import templates
from cds.service.keys import KeyRing
from cds.service.trust import Trust
from cds.settings import Settings
from cds.workbench.synth.requests import hook_request
from tests.intake.test_three_labs import observation
from tests.record.test_arrivals import MRN, PATIENT, SERVER, SERVICE, Clinic, code_of, one, sent_until
from tests.record.visits import REASONER
from tests.service.conftest import now
from tests.service.tokens import BASE, claims, keys, signed

OTHER = "http://localhost:9/fhir"
STRANGER = {**PATIENT, "birthDate": "1944-01-01", "identifier": [{"system": MRN, "value": "9999"}]}


@pytest.fixture
def clinic(database: Database) -> Iterator[Clinic]:
    """A clinic whose patient has advice open that rests on results of a laboratory alone."""
    clinic = Clinic(database).on("2025-01-10")
    clinic.opens()
    sent_until(clinic)
    clinic.on("2025-04-22")
    yield clinic
    with database.reading() as connection:
        assert verify(connection, {}).holds


def summaries(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [card["summary"] for card in answer.json()["cards"]]


def is_suspected(answer: Any) -> bool:
    (summary,) = summaries(answer)
    return "suspected acquired resistance" in summary


def says_that_there_may_be_more(answer: Any) -> bool:
    card, *standing = answer.json()["cards"]
    assert all(one["source"]["topic"]["code"] == "standing-finding" for one in standing)
    return "another FHIR server" in card["detail"] and "suspected" not in card["summary"]


def servers(database: Database) -> list[str]:
    with database.reading() as connection:
        return sorted(connection.execute(select(tables.patient.c.server)).scalars())


# anybody may mean anybody -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", ["", f"{SERVER}/", "HTTP://127.0.0.1:9/fhir", "http://127.0.0.1:0009/fhir//"])
def test_another_spelling_or_none_is_the_same_patient(clinic: Clinic, server: str) -> None:
    assert is_suspected(clinic.opens(server=server))
    assert servers(clinic.database) == [SERVER]
    assert code_of(clinic.sends(one("2025-04-22", "6.4"))) == "AA"
    assert clinic.queue.waiting("default") == []


@pytest.mark.parametrize("server", [OTHER, "http://127.0.0.1:9/FHIR"])
def test_another_name_of_the_server_never_looks_like_nothing_to_say(clinic: Clinic, server: str) -> None:
    for _ in range(2):
        assert says_that_there_may_be_more(clinic.opens(server=server))
    assert is_suspected(clinic.opens())
    assert code_of(clinic.sends(one("2025-04-22", "6.4"))) == "AA"
    assert clinic.queue.waiting("default") == []  # the second name made nobody's number ambiguous


def test_so_does_another_id_of_the_same_number(clinic: Clinic) -> None:
    assert says_that_there_may_be_more(clinic.opens({**PATIENT, "id": "x7"}, OTHER))
    assert says_that_there_may_be_more(clinic.opens({**PATIENT, "id": "x7", "birthDate": "1970-05-15"}, OTHER))


def test_another_person_of_that_id_is_another_person(clinic: Clinic) -> None:
    assert summaries(clinic.opens(STRANGER, OTHER)) == []
    assert summaries(clinic.opens({**PATIENT, "identifier": STRANGER["identifier"]}, f"{OTHER}/2")) == []
    assert is_suspected(clinic.opens())


def test_without_a_server_another_person_of_that_id_is_not_met(clinic: Clinic) -> None:
    assert summaries(clinic.opens(STRANGER, "")) == []
    assert servers(clinic.database) == ["", SERVER]
    assert is_suspected(clinic.opens(server=""))


def test_where_two_may_be_meant_the_card_says_so(clinic: Clinic) -> None:
    clinic.opens({**PATIENT, "identifier": []}, OTHER)
    assert says_that_there_may_be_more(clinic.opens({**PATIENT, "identifier": []}, ""))


def test_a_server_that_is_said_later_is_that_of_the_same_patient(database: Database) -> None:
    clinic = Clinic(database).on("2025-01-10")
    clinic.opens(server="")
    sent_until(clinic)
    clinic.on("2025-04-22")
    assert is_suspected(clinic.opens())
    assert is_suspected(clinic.opens(server=""))
    assert servers(database) == [SERVER]
    assert summaries(clinic.opens(STRANGER, OTHER)) == []
    assert servers(database) == [SERVER, OTHER]
    with database.reading() as connection:
        assert verify(connection, {}).holds


def test_an_older_spelling_in_the_record_is_still_the_patient(clinic: Clinic) -> None:
    with clinic.database.writing() as connection:
        connection.execute(tables.patient.update(), {"server": "HTTP://127.0.0.1:9/fhir"})
    with clinic.database.reading() as connection:
        assert identified(connection, "default", f"{SERVER}/Patient/p1").server == "HTTP://127.0.0.1:9/fhir"
    assert is_suspected(clinic.opens())
    assert servers(clinic.database) == [SERVER]


def test_many_at_once_make_one_patient(database: Database) -> None:
    clinic = Clinic(database).on("2025-01-10")
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda number: clinic.opens(server=("", SERVER)[number % 2]), range(16)))
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert servers(database) == [SERVER]


@pytest.mark.parametrize(
    "link", ["Patient/p1", f"{SERVER}/Patient/p1", "HTTP://127.0.0.1:09/fhir/Patient/p1/_history/2"]
)
@pytest.mark.parametrize("server", [SERVER, ""])
def test_who_replaces_the_patient_has_their_results_or_hears_of_them(clinic: Clinic, link: str, server: str) -> None:
    replacing = {**PATIENT, "id": "p9", "link": [{"type": "replaces", "other": {"reference": link}}]}
    if link.startswith("Patient/") or server:
        assert says_that_there_may_be_more(clinic.opens({**replacing, "identifier": []}, server))
        assert is_suspected(clinic.opens(replacing, server))
        assert [one_.patient for one_ in advisories(clinic.database, "default")] == ["Patient/p9"]


@pytest.mark.parametrize(
    "link", ["urn:uuid:p1", "p1", "https://x.example/Patient/p1", f"Patient/{'z' * 400}", "Patient/p1?x", 5]
)
def test_a_link_to_nobody_of_the_server_moves_nobody(clinic: Clinic, link: object) -> None:
    replacing = {**PATIENT, "id": "p9", "identifier": [], "link": [{"type": "replaces", "other": {"reference": link}}]}
    assert clinic.opens(replacing).status_code == 200
    assert [one_.patient for one_ in advisories(clinic.database, "default")] == ["Patient/p1"]
    assert servers(clinic.database) == [SERVER, SERVER]


# what no table holds ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"birthDate": "1970-05-14T00:00:00+00:00 and more"},
        {"identifier": [{"system": MRN, "value": "47\x0011"}]},
        {"identifier": [{"system": MRN, "value": "4" * 300}, {"system": f"https://{'x' * 300}", "value": "1"}]},
        {"id": "p" * 255},
    ],
)
def test_what_no_database_keeps_does_no_harm(clinic: Clinic, change: Mapping[str, Any]) -> None:
    assert clinic.opens({**PATIENT, **change}).status_code == 200


def test_what_is_kept_is_no_longer_than_the_tables_hold() -> None:
    patient, identifier, person = tables.patient.c, tables.identifier.c, tables.person.c
    text, day = len(spelling.text("x" * 1000)), len("1970-05-14")
    lengths = {
        patient.server: spelling.MOST_SERVER, patient.reference: len("Patient/") + 255, identifier.system: text,
        identifier.value: text, identifier.born: day, person.born: day,
    }  # fmt: skip
    for column, longest in lengths.items():
        assert isinstance(column.type, String)
        assert column.type.length is not None
        assert longest <= column.type.length, column


@pytest.mark.parametrize(
    "server", [f"https://ehr.example/{'x' * 250}", "https://a..b/fhir", "https://ehr.example/\x00"]
)
def test_an_address_that_is_none_or_too_long_is_refused_with_its_place(clinic: Clinic, server: str) -> None:
    answer = clinic.opens(server=server)
    assert answer.status_code == 400
    assert answer.json()["issue"][0]["expression"] == ["fhirServer"]


def sent_of(subject: Mapping[str, Any]) -> Mapping[str, Any]:
    """A result of somebody as FHIR."""
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": observation(subject=subject)}]}


@pytest.mark.parametrize("number", ["47\x0011", "4" * 300])
def test_a_number_that_cannot_be_kept_is_nobodys(clinic: Clinic, number: str) -> None:
    sent = one("2025-04-22", "6.4").replace(b"4711^^^CLINIC", f"{number}^^^CLINIC".encode())
    assert code_of(clinic.sends(sent)) == "AA"
    answer = clinic.posts(sent_of({"identifier": {"system": MRN, "value": number}}))
    assert answer.status_code == 202, answer.text
    assert clinic.posts(sent_of({"reference": f"https://x.example/Patient/{number}"})).status_code in (202, 422)
    assert {one_.waits for one_ in clinic.queue.waiting("default")} <= {"nobody", "unnamed"}


def test_a_result_names_its_patient_by_any_spelling_of_the_address(clinic: Clinic) -> None:
    server = "https://ehr.example/fhir"
    clinic.opens({**STRANGER, "id": "p3"}, server)
    before = len(clinic.queue.waiting("default"))
    named = sent_of({"reference": "https://EHR.example:443/fhir/Patient/p3"})
    assert clinic.posts(named).status_code == 200
    assert len(clinic.queue.waiting("default")) == before


# clients ----------------------------------------------------------------------------------------------------------------

MAIN, RESEARCH, PORTAL = "https://main.example/fhir", "https://research.example/fhir", "https://portal.example/fhir"
Body = dict[str, Any]
Site = Callable[..., "Clients"]


class Clients:
    """A service that trusts some clients, all of one tenant."""

    def __init__(self, database: Database, folder: Path, **entries: str):
        (folder / "keys.json").write_text(json.dumps(keys().public()), "utf-8")
        (folder / "backend.json").write_text(json.dumps(keys().elliptic.as_dict(private=True)), "utf-8")
        listed = [
            f"{{name: {name}, issuer: 'https://{name}.issuer', keys: keys.json, {more}}}"
            for name, more in entries.items()
        ]
        (folder / "clients.yaml").write_text(f"clients: [{', '.join(listed)}]", "utf-8")
        recorder = Recorder(database, REASONER.rulebook)
        trust = Trust(load_clients(folder / "clients.yaml"), KeyRing(), recorder.responses.first_use)
        app = create_app(Settings(public_base_url=BASE), REASONER, recorder=recorder, trust=trust, clock=now)
        self._http = TestClient(app, base_url="https://cds.example", raise_server_exceptions=False)
        self.database = database

    def asks(self, name: str, body: Body, server: str = "", **patient: Any) -> Any:
        sent = (
            json.loads(json.dumps(body))
            | {"hookInstance": str(uuid.uuid4())}
            | ({"fhirServer": server} if server else {})
        )
        sent["prefetch"]["patient"] |= patient
        sent["context"]["patientId"] = sent["prefetch"]["patient"]["id"]
        token = signed(claims(iss=f"https://{name}.issuer"))
        return self._http.post(SERVICE, json=sent, headers={"Authorization": f"Bearer {token}"})

    @property
    def known(self) -> list[tuple[str, str]]:
        with self.database.reading() as connection:
            rows = connection.execute(select(tables.patient.c.server, tables.patient.c.reference)).all()
        return sorted((row.server, row.reference) for row in rows)


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Iterator[Site]:
    yield lambda **entries: Clients(database, tmp_path, **entries)
    with database.reading() as connection:
        assert verify(connection, {}).holds


@pytest.fixture
def request_body() -> Body:
    """A complete request for the shipped example."""
    asked = {one.key: one.query for one in templates(REASONER.rulebook.catalogue)}
    return hook_request(json.loads(shipped_example()), {"hook": "patient-view", "prefetch": asked})


@pytest.fixture
def bare(request_body: Body) -> Body:
    """The same without any result."""
    asked = {one.key: one.query for one in templates(REASONER.rulebook.catalogue)}
    empty = {key: None for key, query in asked.items() if query.startswith("Observation")}
    return request_body | {"prefetch": request_body["prefetch"] | empty}


PATIENT_ID = "Patient/trpc5-suspected"
CALLS = "audiences: [exowatch-production]"


def test_a_server_that_is_not_on_the_list_is_refused(site: Site, request_body: Body) -> None:
    clients = site(main=f"fhir: [{MAIN}]", research=f"fhir: [{RESEARCH}]")
    assert is_suspected(clients.asks("main", request_body, MAIN))
    for server in (MAIN, MAIN.replace("main", "MAIN"), "https://main.example:8443/fhir"):
        answer = clients.asks("research", request_body, server)
        assert (answer.status_code, answer.json()["issue"][0]["expression"]) == (403, ["fhirServer"])
    assert clients.known == [(MAIN, PATIENT_ID)]


@pytest.mark.parametrize("entry", ["fhir: [https://research.example]", CALLS])
@pytest.mark.parametrize("server", ["", MAIN])
def test_nobody_reads_or_merges_another_clients_patients(
    site: Site, request_body: Body, bare: Body, entry: str, server: str
) -> None:
    clients = site(main="fhir: [https://main.example]", research=entry)
    body = json.loads(json.dumps(request_body))
    clients.asks("main", body, MAIN)
    link = [
        {"type": "replaces", "other": {"reference": reference}} for reference in (PATIENT_ID, f"{MAIN}/{PATIENT_ID}")
    ]
    theirs = clients.asks("research", bare, server)
    merging = clients.asks("research", bare, server, id="x1", link=link)
    if server and "fhir" in entry:
        assert (theirs.status_code, merging.status_code) == (403, 403)
    else:
        for answer in (theirs, merging):
            assert "suspected" not in answer.text
            assert "TRPC5" not in answer.text
    with clients.database.reading() as connection:
        assert identified(connection, "default", PATIENT_ID, MAIN) == Identity("default", MAIN, PATIENT_ID)
    assert [(one_.server, one_.patient) for one_ in advisories(clients.database, "default")] == [(MAIN, PATIENT_ID)]


def test_clients_that_name_no_server_have_patients_of_their_own(site: Site, request_body: Body) -> None:
    clients = site(main=CALLS, portal=CALLS)
    for name in ("main", "portal"):
        for server in ("", PORTAL, "", MAIN):
            assert "suspected" in clients.asks(name, request_body, server).text
    scopes = [f"client:{name}/{server}" for name in ("main", "portal") for server in (MAIN, PORTAL)]
    assert [server for server, _ in clients.known] == sorted(scopes)


def test_a_client_that_leaves_its_server_out_means_its_own(site: Site, request_body: Body, bare: Body) -> None:
    clients = site(main="fhir: [https://main.example]", portal="fhir: [https://portal.example]")
    assert is_suspected(clients.asks("main", request_body, MAIN))
    assert is_suspected(clients.asks("main", request_body))
    assert is_suspected(clients.asks("main", request_body, "https://MAIN.example:443/fhir/"))
    clients.asks("portal", bare)
    clients.asks("portal", bare, PORTAL)
    assert [server for server, _ in clients.known] == [MAIN, PORTAL]


def test_two_clients_of_one_server_share_its_patients(site: Site, request_body: Body) -> None:
    clients = site(main="fhir: [https://main.example]", portal="fhir: [https://main.example, https://portal.example]")
    assert is_suspected(clients.asks("main", request_body, MAIN))
    assert is_suspected(clients.asks("portal", request_body))
    assert clients.known == [(MAIN, PATIENT_ID)]


BACKEND = f"backend: {{server: '{MAIN}/', token: 'https://main.example/token', client: x, key: backend.json}}"


@pytest.mark.parametrize(
    ("entry", "server"),
    [
        (f"fhir: [{MAIN}]", MAIN), (BACKEND, MAIN), (f"fhir: [https://main.example], {BACKEND}", MAIN),
        ("fhir: [https://main.example]", "client:main"), (f"fhir: [{MAIN}, {PORTAL}]", "client:main"),
        (f"fhir: [{PORTAL}], {BACKEND}", "client:main"), (CALLS, "client:main"),
    ],
)  # fmt: skip
def test_the_only_server_of_a_client_is_meant_where_none_is_named(
    site: Site, request_body: Body, entry: str, server: str
) -> None:
    clients = site(main=entry)
    clients.asks("main", request_body)
    assert clients.known == [(server, PATIENT_ID)]
    clients.asks("main", request_body, MAIN)
    (known,) = clients.known
    assert known[0] == (f"client:main/{MAIN}" if entry == CALLS else MAIN)


def test_who_has_no_server_is_found_by_people_all_the_same(site: Site, request_body: Body) -> None:
    clients = site(main=CALLS)
    clients.asks("main", request_body, MAIN)
    (listed,) = advisories(clients.database, "default")
    assert listed.address == f"{MAIN}/{PATIENT_ID}"
    assert [issue.server for issue in issues(clients.database, Wanted("default"))] == [MAIN]
    with clients.database.reading() as connection:
        for said, server in ((listed.address, None), (PATIENT_ID, None), (PATIENT_ID, f"client:main/{MAIN}")):
            assert identified(connection, "default", said, server).server == f"client:main/{MAIN}"
