"""What Exowatch knows, for others to read: as FHIR R4 (4.0.1) advisories, evaluations, rules, the audit and what the endpoint can
do; the rule book as pages (`site`).

Resources are plain dicts, so that figures keep their digits; `check.problems` says what is wrong with one, by fhir.resources and
by the invariants and required bindings that it does not check.
"""
