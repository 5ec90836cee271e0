"""Synthetic patients with known truth.

write_cohort(seed=7, patients=1000, workers=2, out="cohort")     # patient-000001.json …, truth.jsonl
patient = make_patient(seed=7, index=0)                          # patient.bundle, patient.truth
"""

from cds.workbench.synth.cohort import REFERENCE_DATE, SynthPatient, make_patient
from cds.workbench.synth.design import USUAL, Design, read_design
from cds.workbench.synth.encoding import to_json
from cds.workbench.synth.writing import write_cohort

__all__ = [
    "REFERENCE_DATE",
    "USUAL",
    "Design",
    "SynthPatient",
    "make_patient",
    "read_design",
    "to_json",
    "write_cohort",
]
