"""Synthetic patients with known truth.

write_cohort(seed=7, patients=1000, workers=2, out="cohort")     # patient-000001.json …, truth.jsonl
patient = make_patient(seed=7, index=0)                          # patient.bundle, patient.truth
"""

from cds.workbench.synth.cohort import REFERENCE_DATE, SynthPatient, make_patient, to_json, write_cohort

__all__ = ["REFERENCE_DATE", "SynthPatient", "make_patient", "to_json", "write_cohort"]
