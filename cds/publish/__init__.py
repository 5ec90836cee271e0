"""What Exowatch knows, as FHIR R4 (4.0.1): advisories, evaluations, rules, the audit, and what the endpoint can do.

Resources are plain dicts, so that figures keep their digits; `check.problems` says what is wrong with one, by fhir.resources and
by the invariants and required bindings that it does not check.
"""
