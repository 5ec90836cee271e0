"""A cohort in every form: same bytes whoever makes it, read and taken in with nothing amiss but what was put in on purpose."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class
from fhir.resources.R4B.bundle import Bundle

from cds.chart import Chart, Record, read, read_all
from cds.errors import InputError, RuleBookError
from cds.intake.files import Received, received
from cds.intake.interfaces import load_interfaces
from cds.intake.resources import taken
from cds.reasoning.loading import default_rulebook, shipped_rules
from cds.reasoning.reasoner import Reasoner
from cds.workbench.synth import REFERENCE_DATE, Design, make_patient, read_design, to_json, write_cohort
from cds.workbench.synth.design import FAULTS, mix_of
from cds.workbench.synth.forms import FORMS

BOOK = default_rulebook()
CATALOGUE = BOOK.catalogue
INTERFACES = load_interfaces(shipped_rules(), CATALOGUE.declarations)
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
HARD = Design(
    resistant=0.3, months=9, drop_out=0.1, faults=0.2, fault_mix=dict.fromkeys(FAULTS, 1.0), merged=0.1, deceased=0.1
)
"""Every fault there is, and often."""
Json = dict[str, Any]


def digest(folder: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()


def truths(folder: Path) -> list[Json]:
    return [json.loads(line) for line in (folder / "truth.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("form", FORMS)
def test_one_worker_or_two_and_again_the_same_bytes(form: str, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two", "again")]
    for folder, workers in zip(folders, (1, 2, 1), strict=True):
        write_cohort(7, 40, workers, folder, form=form, design=HARD)
    assert len({digest(folder) for folder in folders}) == 1


BYTES = {
    "collection": "68a3a37c26a2e43e",
    "bundle": "62ea05c8c861ea48",
    "bulk": "048ce710ec3feb8f",
    "csv": "e0e64a7f0fc03d88",
    "hl7v2": "2b93c5ab13d7c846",
}


@pytest.mark.parametrize("form", BYTES)
def test_the_bytes_are_those_of_every_machine(form: str, tmp_path: Path) -> None:
    """Whoever changes what is generated renews these digests. Hook requests also follow the codes that rules know."""
    write_cohort(7, 30, 1, tmp_path, form=form, design=HARD)
    assert digest(tmp_path)[:16] == BYTES[form]


# read ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cohort() -> list[tuple[Json, Json, Record, Chart]]:
    made = []
    for index in range(400):
        patient = make_patient(5, index, design=HARD)
        record = read(patient.bundle, CATALOGUE, patient=patient.truth["patient"])
        made.append((patient.bundle, patient.truth, record, record.as_of(REFERENCE_DATE)))
    return made


def test_nothing_is_left_out_or_faulty_but_what_was_put_in(cohort: list[tuple[Json, Json, Record, Chart]]) -> None:
    for _, truth, _, chart in cohort:
        kinds = {(fault["kind"], fault["result"]) for fault in truth["faults"]}
        assert {one.reason for one in chart.left_out} <= (
            {"belongs to another patient"} if "former_id" in truth else set()
        )
        assert chart.unmapped == ()
        for results in chart.results.values():
            for result in results:
                name = result.ref.removeprefix("Observation/")
                amiss = {"no-unit": "missing-unit", "unit-not-convertible": "wrong-unit"}
                assert result.faults <= set(amiss)
                assert all((amiss[fault], name) in kinds for fault in result.faults)
        assert {ref.removeprefix("Observation/").removesuffix("x") for ref in chart.voided} <= {
            result for kind, result in kinds if kind == "entered-in-error"
        }


def test_every_fault_is_found(cohort: list[tuple[Json, Json, Record, Chart]]) -> None:
    """Each by what the record says of it; results under a former number are not this patient's to read."""
    found: Counter[str] = Counter()
    for bundle, truth, record, chart in cohort:
        under_former = {
            entry["resource"]["id"]
            for entry in bundle["entry"]
            if entry["resource"].get("subject", {}).get("reference") == f"Patient/{truth.get('former_id')}"
        }
        for fault in truth["faults"]:
            kind, name = fault["kind"], fault["result"]
            found[kind] += 1
            if name in under_former:
                continue
            assert seen(kind, name, truth, record, chart), (truth["patient"], fault)
    assert set(found) == {*FAULTS, "out-of-order", "missing-baseline", "merged-patient"}


def seen(kind: str, name: str, truth: Json, record: Record, chart: Chart) -> bool:
    """Whether the fault shows in the record."""
    ref = f"Observation/{name}"
    versions = next((some for some in record.results if any(one.result and one.result.ref == ref for one in some)), [])
    result = next((one for some in chart.results.values() for one in some if ref in (one.ref, *one.also)), None)
    start = date.fromisoformat(truth["line_start"])
    match kind:
        case "late":
            drawn = result.collected if result else None
            return drawn is not None and (versions[-1].known.day - drawn).days >= 15
        case "corrected" | "amended":
            before = record.as_of(versions[0].known.day)
            was = next(one for some in before.results.values() for one in some if ref in (one.ref, *one.also))
            return [one.resource["status"] for one in versions] == ["final", kind] and was.status == "final"
        case "entered-in-error":
            return f"{ref}x" in chart.voided
        case "duplicate":
            return result is not None and len({ref, f"{ref}d"} & {result.ref, *result.also}) == 2
        case "missing-unit":
            return result is not None and "no-unit" in result.faults
        case "wrong-unit":
            return result is not None and "unit-not-convertible" in result.faults
        case "second-unit":
            canonical = CATALOGUE.markers[result.marker].families[result.family or ""].canonical if result else ""
            return result is not None and result.unit == canonical and not result.faults
        case "second-laboratory":
            return result is not None and result.laboratory is not None and "example-lab" not in result.laboratory
        case "date-only":
            return result is not None and result.collected_time is None
        case "missing-baseline":
            return all(
                one.collected is None or one.collected > start for some in chart.results.values() for one in some
            )
        case "merged-patient":
            return any(one.reason == "belongs to another patient" for one in chart.left_out)
        case "out-of-order":
            days = [one.collected for some in chart.results.values() for one in some if one.collected]
            return len(chart.results) > 1 or days == sorted(days)
    raise AssertionError(kind)


def test_the_dead_and_the_absent_are_measured_no_more(cohort: list[tuple[Json, Json, Record, Chart]]) -> None:
    gone = Counter[str]()
    for bundle, truth, _, chart in cohort:
        patient = bundle["entry"][0]["resource"]
        assert patient.get("deceasedDateTime") == truth.get("died")
        for word in ("died", "dropped_out"):
            if word in truth:
                gone[word] += 1
                last = date.fromisoformat(truth[word])
                assert all(one.collected < last for some in chart.results.values() for one in some if one.collected)
                assert all(scan.day < last for scan in chart.imaging)
    assert min(gone["died"], gone["dropped_out"]) > 20


def test_shares_are_those_that_were_asked_for() -> None:
    plain = Design(resistant=0.2, subtypes={"luminal": 1, "her2-positive": 3}, months=24)
    found = [make_patient(9, index, design=plain).truth for index in range(600)]
    treated = [one for one in found if one["course"] not in ("cleared", "source-remains")]
    assert 0.15 < sum(one["resistant"] for one in treated) / len(treated) < 0.25
    her2 = sum(one["scenario"] == "tgfb1-pdl1-on-her2-therapy" for one in found) / len(found)
    assert 0.69 < her2 < 0.81
    assert not any(one["scenario"].endswith("pembrolizumab") for one in found)


# forms --------------------------------------------------------------------------------------------------------------


def test_transactions_are_fhir_and_read_like_the_record(tmp_path: Path) -> None:
    write_cohort(5, 30, 1, tmp_path, form="bundle", design=HARD)
    reasoner = Reasoner(BOOK)
    for truth in truths(tmp_path):
        data = (tmp_path / truth["file"]).read_bytes()
        bundle = json.loads(data)
        Bundle.model_validate(bundle)
        urls = [entry["request"]["url"] for entry in bundle["entry"]]
        assert len(set(urls)) == len(urls)
        assert {entry["request"]["method"] for entry in bundle["entry"]} == {"PUT"}
        whole = read(make_patient(5, truth["index"], design=HARD).bundle, CATALOGUE, patient=truth["patient"])
        sent = read(data, CATALOGUE, patient=truth["patient"])
        states = [
            {name: one.state for name, one in reasoner.evaluate(record.as_of(REFERENCE_DATE)).answers.items()}
            for record in (whole, sent)
        ]
        assert states[0] == states[1]


def test_results_as_fhir_pass_the_intake_but_for_wrong_units(tmp_path: Path) -> None:
    """What POST /results takes, it takes from every synthetic Bundle."""
    refused: Counter[str] = Counter()
    for index in range(60):
        patient = make_patient(5, index, design=HARD)
        mapped, _ = taken(to_json(patient.bundle), "ehr", "bundle", CATALOGUE, NOW)
        amiss = {
            fault["result"] for fault in patient.truth["faults"] if fault["kind"] in ("missing-unit", "wrong-unit")
        }
        names = {one.what.removeprefix("Observation/") for one in mapped.refused if "unit" in one.reason}
        assert names == amiss
        for one in mapped.refused:
            refused[one.reason.split(":")[0]] += 1
    assert refused


def test_a_bulk_export_is_complete_and_can_be_split(tmp_path: Path) -> None:
    write_cohort(5, 25, 1, tmp_path / "whole", form="bulk", design=HARD)
    write_cohort(5, 25, 1, tmp_path / "split", form="bulk", design=HARD, per_file=100)
    for folder in (tmp_path / "whole", tmp_path / "split"):
        manifest = json.loads((folder / "manifest.json").read_bytes())
        written = {path.name for path in folder.glob("*.ndjson")}
        assert {one["url"] for one in manifest["output"]} == written
        for one in manifest["output"]:
            lines = (folder / one["url"]).read_text(encoding="utf-8").splitlines()
            assert len(lines) == one["count"]
            assert {json.loads(line)["resourceType"] for line in lines} == {one["type"]}
            assert folder.name == "whole" or len(lines) <= 100
    parts = sorted((tmp_path / "split").glob("Observation.*.ndjson"), key=lambda path: int(path.name.split(".")[1]))
    assert len(parts) > 2
    assert b"".join(part.read_bytes() for part in parts) == (tmp_path / "whole" / "Observation.ndjson").read_bytes()
    for line in (tmp_path / "whole" / "Patient.ndjson").read_text(encoding="utf-8").splitlines():
        get_fhir_model_class("Patient").model_validate(json.loads(line))


def test_a_bulk_export_reads_like_the_records(tmp_path: Path) -> None:
    write_cohort(5, 25, 1, tmp_path, form="bulk", design=HARD)
    data = b"".join(path.read_bytes() for path in sorted(tmp_path.glob("*.ndjson")))
    records = {record.patient: record for record in read_all(data, CATALOGUE)}
    for truth in truths(tmp_path):
        whole = read(make_patient(5, truth["index"], design=HARD).bundle, CATALOGUE, patient=truth["patient"])
        chart = records[f"Patient/{truth['patient']}"].as_of(REFERENCE_DATE)
        assert chart.results == whole.as_of(REFERENCE_DATE).results


def test_hook_requests_hold_what_our_templates_ask_for(tmp_path: Path) -> None:
    write_cohort(5, 40, 1, tmp_path, form="hooks", design=HARD)
    for truth in truths(tmp_path):
        request = json.loads((tmp_path / truth["file"]).read_bytes())
        assert request["hook"] == "patient-view"
        assert request["context"]["patientId"] == truth["patient"] == request["prefetch"]["patient"]["id"]
        (record,) = read_all(request, CATALOGUE)
        whole = read(make_patient(5, truth["index"], design=HARD).bundle, CATALOGUE, patient=truth["patient"])
        assert record.as_of(REFERENCE_DATE).results == whole.as_of(REFERENCE_DATE).results
        assert record.left_out == ()


def take(path: Path) -> Received:
    laboratory = "" if path.suffix == ".hl7" else path.stem
    return received(path.read_bytes(), path.name, INTERFACES, CATALOGUE, NOW, laboratory)


def test_messages_pass_the_intake_but_for_wrong_units(tmp_path: Path) -> None:
    write_cohort(5, 150, 1, tmp_path, form="hl7v2", design=HARD)
    told = truths(tmp_path)
    found = take(tmp_path / "example-lab.hl7")
    assert found.counted == found.mapped + sum(one.results for one in found.refused)
    text = (tmp_path / "example-lab.hl7").read_text(encoding="utf-8").split("MSH|")[1:]
    results = [message.split("|")[8].rsplit(".", 1)[0] for message in text]  # MSH-10 is the result and its number
    refused = {results[int(one.where.split(",")[0].removeprefix("message ")) - 1] for one in found.refused}
    assert refused == faulty(told, "missing-unit", "wrong-unit")
    assert found.unreadable == []
    statuses = Counter(one["status"] for one in found.resources if one["resourceType"] == "Observation")
    assert {"final", "corrected", "amended", "entered-in-error"} == set(statuses)
    numbers = {message.split("PID|1||")[1].split("^")[0] for message in text}
    assert sum(number.startswith("9") for number in numbers) == len(faulty(told, "merged-patient"))
    other = take(tmp_path / "example-research-lab.csv")
    assert (other.refused, other.unreadable) == ([], [])
    assert other.mapped == 2 * len(faulty(told, "second-laboratory"))


def faulty(told: list[Json], *kinds: str) -> set[str]:
    return {fault["result"] for one in told for fault in one["faults"] if fault["kind"] in kinds}


def test_tables_pass_the_intake_whole(tmp_path: Path) -> None:
    write_cohort(5, 150, 1, tmp_path, form="csv", design=HARD)
    told = truths(tmp_path)
    for path in tmp_path.glob("*.csv"):
        found = take(path)
        assert (found.refused, found.unreadable) == ([], [])
        assert found.counted == found.mapped > 0
    assert not faulty(told, "missing-unit", "wrong-unit", "second-unit")  # a column has one unit
    assert sum(len(one["unsaid"]) for one in told) > 0
    values = {
        one["id"]: one["valueQuantity"]
        for one in take(tmp_path / "example-lab.csv").resources
        if one["resourceType"] == "Observation" and "total-ev" not in str(one["code"])
    }
    assert {value["code"] for value in values.values()} == {"10*6{particles}/mL", "pg/mL"}
    assert max(value["value"] for value in values.values() if value["code"] == "10*6{particles}/mL") < 2000


def test_a_second_cohort_in_the_folder_is_refused(tmp_path: Path) -> None:
    write_cohort(5, 2, 1, tmp_path, form="bulk")
    with pytest.raises(InputError, match="not empty"):
        write_cohort(5, 2, 1, tmp_path, form="hl7v2")


# designs ------------------------------------------------------------------------------------------------------------


def test_a_design_is_read_from_yaml(tmp_path: Path) -> None:
    path = tmp_path / "design.yaml"
    path.write_text(
        "resistant: 30 %\nmonths: 24\nsubtypes: {luminal: 2, her2-positive: 1}\njitter: 7\n", encoding="utf-8"
    )
    assert read_design(path) == Design(resistant=0.3, months=24, subtypes={"luminal": 2, "her2-positive": 1}, jitter=7)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("resistent: 30 %\n", "resistent"),
        ("resistant: many\n", "percentage"),
        ("resistant: 130 %\n", "between 0 and 100 %"),
        ("subtypes: {basal: 1}\n", "'basal' is not known"),
        ("fault_mix: {late: -1}\n", "weights are 0 or more"),
        ("months: 0\n", "1 to 120 months"),
        ("jitter: 99\n", "0 to 60"),
    ],
)
def test_what_is_no_design_is_told(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "design.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises((InputError, RuleBookError)) as told:
        read_design(path)
    assert said in str(told.value)
    assert "design.yaml" in str(told.value)


def test_a_mix_in_a_line() -> None:
    assert mix_of("late=2, wrong-unit=1", "fault-mix") == {"late": 2, "wrong-unit": 1}
    with pytest.raises(InputError, match="--fault-mix: 'late'"):
        mix_of("late", "fault-mix")
