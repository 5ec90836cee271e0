"""FHIR R4 in, `Chart` out: a patient's record as rules see it, as of any moment."""
