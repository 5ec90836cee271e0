"""The example laboratory delivers one patient by HL7 v2 and as a table: the same chart, and every result accounted for."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class

from cds.chart import read
from cds.chart.model import Chart
from cds.errors import InputError, RuleBookError
from cds.intake.files import Received, received
from cds.intake.interfaces import load_interfaces
from cds.reasoning.loading import default_rulebook, load_rulebook, shipped_rules
from cds.reasoning.reasoner import Reasoner
from tests.intake.test_hl7v2 import HEAD, obx
from tests.test_cli import exowatch

BOOK = default_rulebook()
INTERFACES = load_interfaces(shipped_rules(), BOOK.catalogue.declarations)
LAB = "example-lab"
NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)
SERIES = {  # day: value in 10^6/mL, total count in 10^9/mL
    "2024-12-20": ("1.8", "11"), "2025-01-02": ("2.0", "11"), "2025-02-17": ("2.1", "11"), "2025-03-24": ("5.6", "11"),
    "2025-04-21": ("6.3", "11"),
}  # fmt: skip
COLUMNS = "Patient;Geburtsdatum;Geschlecht;Probe;Material;Entnahme;Befund;Status;TRPC5-EV;EV gesamt;EV-PD-L1"


def take(data: bytes, laboratory: str = "") -> Received:
    found = received(data, "file", INTERFACES, BOOK.catalogue, NOW, laboratory)
    assert found.counted == found.mapped + sum(one.results for one in found.refused)
    return found


def order(day: str, *results: str, status: str = "F") -> bytes:
    plain = day.replace("-", "")
    return "\r".join(
        (
            HEAD, "PID|1||4711^^^CLINIC^MR||Muster^Erika||19700514|F",
            f"OBR|1|P{plain}|F{plain}^EEL|EV^^99EEL|||{plain}083000|||||||||||||||{plain}160000", *results,
            f"SPM|1|^EV-{plain}||PLASMA|||||||||||||{plain}083000", "",
        )
    ).encode()  # fmt: skip


def messages_of(series: Mapping[str, tuple[str, str]]) -> bytes:
    return b"".join(
        order(
            day,
            obx(f5=value, f6="10*6{particles}/mL"),
            obx(f1="2", f3="EV-TOTAL^^99EEL", f5=total, f6="10*9{particles}/mL"),
        )
        for day, (value, total) in series.items()
    )


def row(day: str, value: str, total: str = "", pdl1: str = "", status: str = "gültig", patient: str = "4711") -> str:
    shown = ".".join(reversed(day.split("-")))
    return (
        f"{patient};14.05.1970;w;EV-{day.replace('-', '')};PLASMA;{shown} 08:30;{shown} 16:00;{status};"
        f"{value.replace('.', ',')};{total};{pdl1}"
    )


def table(*rows: str, header: str = COLUMNS) -> bytes:
    return "\n".join((header, *rows, "")).encode()


def chart(found: Received, day: str = "2025-04-22") -> Chart:
    """The chart of the one patient, on weekly paclitaxel."""
    (patient,) = [one for one in found.resources if one["resourceType"] == "Patient"]
    subject = {"subject": {"reference": f"Patient/{patient['id']}"}}
    therapy = {
        "resourceType": "MedicationStatement", "id": "paclitaxel", "status": "active", **subject,
        "medicationCodeableConcept": {"coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "56946"}]},
        "effectivePeriod": {"start": "2025-01-06"},
    }  # fmt: skip
    cancer = {
        "resourceType": "Condition", "id": "cancer", **subject, "onsetDateTime": "2024-12-01",
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "254837009"}]},
    }  # fmt: skip
    return read([*found.resources, therapy, cancer], BOOK.catalogue).as_of(day)


def test_messages_and_tables_make_the_same_chart_and_finding() -> None:
    by_message = take(messages_of(SERIES))
    by_table = take(table(*(row(day, *values) for day, values in SERIES.items())), LAB)
    assert (by_message.counted, by_table.counted) == (10, 10)
    assert by_message.refused == by_table.refused == []
    one, other = chart(by_message), chart(by_table)
    assert one == other
    (finding,) = Reasoner(BOOK).evaluate(one).findings
    assert finding.state == "suspected"
    assert one.results["trpc5-ev"][0].per_ev_low == pytest.approx(1.8e6 / 1.1e10)
    for resource in (*by_message.resources, *by_table.resources):
        get_fhir_model_class(resource["resourceType"]).model_validate_json(json.dumps(resource, default=float))


def test_the_same_delivery_twice_is_the_same_resources() -> None:
    assert take(messages_of(SERIES)).resources == take(messages_of(SERIES)).resources
    twice = take(messages_of(SERIES) + messages_of(SERIES))
    assert chart(twice) == chart(take(messages_of(SERIES)))


@pytest.mark.parametrize("by_table", [False, True])
@pytest.mark.parametrize(("change", "state"), [("C", "no-flag"), ("D", "watch"), ("W", "watch")])
def test_a_correction_and_a_withdrawal_replace_what_was_sent(change: str, state: str, by_table: bool) -> None:
    """The later of the two high values turns out to be low, or not to be this patient's."""
    day, value = "2025-04-21", {"C": "2.2"}.get(change, "6.3")
    if by_table:
        said = {"C": "korrigiert", "D": "zurückgezogen", "W": "zurückgezogen"}[change]
        rows = [row(day, *values) for day, values in SERIES.items()]
        found = take(table(*rows, row(day, value, status=said).replace("16:00", "18:00")), LAB)
    else:
        later = order(day, obx(f5=value, f6="10*6{particles}/mL", f11=change)).replace(b"160000", b"180000")
        found = take(messages_of(SERIES) + later)
    (finding,) = Reasoner(BOOK).evaluate(chart(found)).findings
    assert finding.state == state


@pytest.mark.parametrize(
    ("unit", "taken"),
    [
        ("10*6{particles}/mL", True), ("10^6{particles}/mL", True), ("10\\S\\6{particles}/mL", True), ("Mio/mL", True),
        ("ug/L", True), ("µg/L", True), ("μg/L", True), ("{copies}/mL", False), ("", False),
    ],
)  # fmt: skip
def test_units_are_read_or_refused_and_never_guessed(unit: str, taken: bool) -> None:
    found = take(order("2025-04-21", obx(f6=unit)))
    if not taken:
        (refused,) = found.refused
        assert "trpc5-ev" in refused.reason or refused.reason == "it has no unit"
        return
    (result,) = chart(found).results["trpc5-ev"]
    assert result.faults == frozenset()
    (sent,) = [one for one in found.resources if one["resourceType"] == "Observation"]
    assert sent["valueQuantity"]["unit"] == unit.replace("\\S\\", "^")


def test_parts_of_a_result_are_its_components() -> None:
    parts = (obx(f1="2", f3="EV-LOD^^99EEL", f5="0.7"), obx(f1="3", f2="CWE", f3="EV-HAEM^^99EEL", f5="present"),
             obx(f1="4", f2="ST", f3="LOT^^99EEL", f5="L-9"))  # fmt: skip
    found = take(order("2025-04-21", obx(), *parts))
    (result,) = chart(found).results["trpc5-ev"]
    assert (result.lod, result.checks["haemolysis"], result.lot) == (7e5, False, "L-9")
    other, part = (
        obx(f1="5", f3="EV-PDL1^^99EEL", f6="pg/mL", f4="b"),
        obx(f1="2", f3="EV-LOD^^99EEL", f5="0.7", f4="a"),
    )
    owned = take(order("2025-04-21", obx(f4="a"), other, part))
    kept = [one for one in owned.resources if one["resourceType"] == "Observation"]
    assert [[str(part["valueQuantity"]["value"]) for part in one.get("component", ())] for one in kept] == [["0.7"], []]
    (refused,) = take(order("2025-04-21", obx(f4="a"), other, part.replace("|a|", "|c|"))).refused
    assert (refused.what, refused.where) == ("EV-LOD", "message 1, OBX 2, line 6")
    alone = take(order("2025-04-21", *parts))
    assert {one.reason for one in alone.refused} == {"no marker result of its order was taken"}


def test_the_code_that_is_known_counts_wherever_it_stands() -> None:
    found = take(order("2025-04-21", obx(f3="123-4^TRPC5 Bld^LN^EV-TRPC5^^99EEL")))
    (result,) = chart(found).results["trpc5-ev"]
    assert result.low == 5.6e6


def test_a_corrected_specimen_replaces_what_was_said_of_it() -> None:
    first = order("2025-04-21", obx())
    later = (
        order("2025-04-21", obx(f11="C")).replace(b"20250421083000", b"20250419083000").replace(b"160000", b"180000")
    )
    (result,) = chart(take(first + later)).results["trpc5-ev"]
    assert (result.collected, result.status) == (date(2025, 4, 19), "corrected")


def test_what_no_rule_file_knows_is_refused_and_named() -> None:
    found = take(order("2025-04-21", obx(), obx(f1="2", f3="718-7^Hemoglobin^LN", f5="13", f6="g/dL")))
    (refused,) = found.refused
    assert (refused.what, refused.where) == ("718-7", "message 1, OBX 2, line 5")
    assert "no rule file" in refused.reason
    nobody = take(order("2025-04-21", obx()).replace(b"4711^^^CLINIC^MR", b""))
    assert "whose result it is" in nobody.refused[0].reason


ROW = row("2025-04-21", "6.3")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (row("2025-04-21", "6.3", patient=""), "whose result it is"),
        (ROW.replace("gültig", "ok"), "what the status 'ok' means"),
        (
            ROW.replace("21.04.2025 08:30", "04/21/2025"),
            "'04/21/2025' is not written as DD.MM.YYYY HH:mm or DD.MM.YYYY",
        ),
        (ROW.replace("6,3", ""), "no column of it holds a result"),
        (ROW + ";x", "it has 12 fields, the header 11"),
    ],
)
def test_a_row_that_cannot_be_taken_is_named_and_the_others_are(data: str, words: str) -> None:
    found = take(table(data, row("2025-03-24", "5.6")), LAB)
    (refused,) = found.refused
    assert words in refused.reason
    assert refused.where.startswith("line 2")
    assert found.mapped == 1


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("6,3", {"value": Decimal("6.3")}),
        ("<0,5", {"value": Decimal("0.5"), "comparator": "<"}),
        ("≤ 0,5", {"value": Decimal("0.5"), "comparator": "<="}),
    ],
)
def test_figures_of_a_table(cell: str, value: dict[str, Any]) -> None:
    found = take(table(ROW.replace("6,3", cell)), LAB)
    (told,) = [one["valueQuantity"] for one in found.resources if one["resourceType"] == "Observation"]
    unit = "10*6{particles}/mL"
    assert told == value | {"unit": unit, "code": unit, "system": "http://unitsofmeasure.org"}


@pytest.mark.parametrize("cell", ["6.3", "1.234,5", "n.d.", "6,3 *"])
def test_a_figure_of_another_form_is_a_text_that_the_chart_cannot_use(cell: str) -> None:
    found = take(table(ROW.replace("6,3", cell)), LAB)
    (result,) = chart(found).results["trpc5-ev"]
    assert result.faults == {"unreadable-value"}
    assert cell in result.shown


@pytest.mark.parametrize(
    ("data", "laboratory", "words"),
    [
        (table(ROW), "", "name the laboratory"),
        (table(ROW), "nobody", "no laboratory 'nobody'"),
        (table(ROW, header=COLUMNS.replace("Probe", "Sample")), LAB, "there is no column 'Probe'"),
        (table(ROW, header=COLUMNS.replace("Befund", "Status")), LAB, "there is no column 'Befund'"),
        (
            table(ROW, header=COLUMNS.replace("Material", "Status").replace("Befund", "Material")),
            LAB,
            "'Befund', 'Material'|'Befund'|'Status' stands there twice",
        ),
        (table(ROW).decode().encode("latin-1"), LAB, "line 2: byte 0xfc is no utf-8"),
        (table(ROW, ROW.replace("EV-20250421", '"EV-20250421')), LAB, "line 3: the row cannot be taken apart"),
        (b"", LAB, "there is no column"),
        (messages_of(SERIES).replace(b"|EEL|", b"|XYZ|"), "", "the sending facility 'XYZ'"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(data: bytes, laboratory: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        take(data, laboratory)


def test_mistakes_in_a_laboratorys_file_are_named_together(tmp_path: Path) -> None:
    (tmp_path / "labs").mkdir()
    text = (shipped_rules() / "labs" / "example-lab.yaml").read_text("utf-8")
    for right, wrong in (
        ("delimiter: semicolon", "delimiter: ;"), ("DD.MM.YYYY HH:mm", "DD.MM.JJJJ"), ("encoding: utf-8", "encoding: utf-9"),
        ("gültig: final", "gültig: done"), ("{FCM: flow-cytometry,", "{FCM: flow,"), ("code: EV-TRPC5,", "kode: EV-TRPC5,"), ("      patient:", "      patients:"),
    ):  # fmt: skip
        text = text.replace(right, wrong)
    (tmp_path / "labs" / "example-lab.yaml").write_text(text, "utf-8")
    with pytest.raises(RuleBookError) as raised:
        load_interfaces(tmp_path, BOOK.catalogue.declarations)
    told = str(raised.value)
    for words in (
        "'delimiter: ;'",
        "DD.MM.JJJJ",
        "utf-9",
        "done",
        "'FCM: flow' is not known",
        "'kode'",
        "did you mean 'code'",
        "'patients'",
        "labs/example-lab.yaml:",
    ):
        assert words in told


# what others have published -----------------------------------------------------------------------------------------

SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "samples"
PUBLISHED = """
laboratory: published
title: Published
identifiers: [{value: published}]
code_system: https://published.example/codes
time_zone: Europe/Berlin
assays:
  - {marker: trpc5-ev, codes: [{code: EV-TRPC5}]}
receives:
  hl7v2: {facilities: [GHH LAB]}
  table:
    authority: https://published.example/mrn
    dates: [YYYY-MM-DD]
    columns: {patient: mrn, result: observationId, collected: effectiveDate, status: status}
    statuses: {final: final}
    results: [{code_column: code, system_column: codeSystem, value: value, unit_in_value: yes}]
"""


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Takes files of a laboratory that writes as the published samples do."""
    folder = tmp_path_factory.mktemp("rules") / "rules"
    shutil.copytree(shipped_rules(), folder)
    (folder / "labs" / "published.yaml").write_text(PUBLISHED, "utf-8")
    catalogue = load_rulebook(folder).catalogue
    interfaces = load_interfaces(folder, catalogue.declarations)

    def take(data: bytes) -> Received:
        found = received(data, "sample", interfaces, catalogue, NOW, "published")
        assert found.counted == found.mapped + sum(one.results for one in found.refused)
        return found

    return take


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the published tables are not here")
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_published_table_loses_nothing_and_a_marker_in_it_is_mapped(published: Any, end: str) -> None:
    plain = (SAMPLES / "csv" / "observation-information.csv").read_text("utf-8")
    lines = plain.strip().splitlines()
    marker = (
        "123,observation-id-9,final,EV-TRPC5,https://published.example/codes,,<0.5 pg/mL,,2020-01-02,251007,66459002"
    )
    found = published(end.join([*lines, marker, ""]).encode("utf-8-sig"))
    assert found.counted == len(lines)
    assert (found.mapped, len(found.refused)) == (1, len(lines) - 1)
    assert {one.reason for one in found.refused} == {"no rule file says what its code means"}
    (told,) = [one["valueQuantity"] for one in found.resources if one["resourceType"] == "Observation"]
    assert (told["comparator"], told["value"], told["unit"]) == ("<", Decimal("0.5"), "pg/mL")


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the published messages are not here")
@pytest.mark.parametrize("name", ["LAB-ORU-1.hl7", "ORU-R01-RMGEAD.hl7"])
@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n"])
def test_markers_in_published_messages_are_mapped(published: Any, name: str, end: bytes) -> None:
    plain = (SAMPLES / "hl7v2" / name).read_bytes().replace(b"\r\n", b"\n").replace(b"\r", b"\n").strip()
    plain = plain.replace(b"|T|2.5|", b"|P|2.5|", 1)  # one of them says that it is for training
    marked = end.join([*plain.split(b"\n"), obx(f3="EV-TRPC5^^L", f14="20141006").encode(), b""])
    found = published(marked)
    assert found.mapped == 1
    assert found.counted == plain.count(b"\nOBX") + 1
    (told,) = [one for one in found.resources if one["resourceType"] == "Observation"]
    assert told["valueQuantity"]["value"] == Decimal("5.6")
    assert published(marked + b"\x1c\r\x0b" + marked).counted == 2 * found.counted
    for cut in range(40, len(marked), 97):
        with contextlib.suppress(InputError):
            published(marked[:cut])


def test_the_command_shows_what_becomes_of_files(tmp_path: Path) -> None:
    (tmp_path / "good.hl7").write_bytes(messages_of(SERIES))
    (tmp_path / "bad.hl7").write_bytes(order("2025-04-21", obx(), obx(f1="2", f3="718-7^^LN")))
    out = tmp_path / "made.ndjson"
    done = exowatch("labs", "map", str(tmp_path / "good.hl7"), "--out", str(out))
    assert (done.returncode, done.stdout.strip().splitlines()[-1]) == (0, "10 results: 10 mapped, 0 refused")
    assert read(out.read_bytes(), BOOK.catalogue).as_of("2025-04-22").results["trpc5-ev"][-1].shown.startswith("6.3")
    both = exowatch("labs", "map", str(tmp_path / "good.hl7"), str(tmp_path / "bad.hl7"))
    assert both.returncode == 1
    assert "12 results: 11 mapped, 1 refused" in both.stdout
    assert "718-7" in both.stdout
    told = json.loads(exowatch("labs", "map", str(tmp_path / "bad.hl7"), "--json").stdout)
    assert (told["counted"], told["mapped"], told["refused"][0]["where"]) == (2, 1, "message 1, OBX 2, line 5")
    (tmp_path / "table.csv").write_bytes(table(ROW))
    assert exowatch("labs", "map", str(tmp_path / "table.csv"), "--laboratory", LAB).returncode == 0
    lost = exowatch("labs", "map", str(tmp_path / "table.csv"))
    assert lost.returncode == 2
    assert "name the laboratory with --laboratory" in lost.stderr


OWN = "https://exowatch.example/fhir"
PARTS_SENT = {
    "check answered": (True, obx(f1="2", f2="ST", f3="EV-HAEM^^99EEL", f5="clear", f6="")),
    "check in other words": (False, obx(f1="2", f2="ST", f3="EV-HAEM^^99EEL", f5="slightly", f6="")),
    "limit": (True, obx(f1="2", f3="EV-LOD^^99EEL", f5="0.5")),
    "limit in words": (False, obx(f1="2", f2="ST", f3="EV-LOD^^99EEL", f5="see report", f6="")),
    "limit twice": (False, obx(f1="2", f3="EV-LOD^^99EEL", f5="0.5"), obx(f1="3", f3="EV-LOD^^99EEL", f5="0.7")),
    "lot": (True, obx(f1="2", f2="ST", f3="LOT^^99EEL", f5="L-1", f6="")),
    "lot as a figure": (False, obx(f1="2", f3="LOT^^99EEL", f5="4711", f6="")),
}


@pytest.mark.parametrize(("claims", "parts"), [(one[0], one[1:]) for one in PARTS_SENT.values()], ids=[*PARTS_SENT])
def test_a_result_claims_the_profile_only_if_it_meets_it(claims: bool, parts: tuple[str, ...]) -> None:
    found = take(order("2025-04-21", obx(), *parts))
    (observation,) = [one for one in found.resources if one["resourceType"] == "Observation"]
    assert len(observation["component"]) == len(parts)
    assert ("meta" in observation) is claims


def test_other_analytes_claim_nothing_and_counts_their_own_profile() -> None:
    other = obx(f3=f"pdl1-soluble^^{OWN}/CodeSystem/exosomal-marker", f5="5", f6="pg/mL")
    count = obx(f1="2", f3="EV-TOTAL^^99EEL", f5="11", f6="10*9{particles}/mL")
    found = take(order("2025-04-21", other, count))
    claimed = {
        one["code"]["coding"][0]["code"]: one.get("meta")
        for one in found.resources
        if one["resourceType"] == "Observation"
    }
    profile = f"{OWN}/StructureDefinition/exosomal-total-ev-observation"
    assert claimed == {"pdl1-soluble": None, "total-ev": {"profile": [profile]}}
