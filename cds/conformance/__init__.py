"""Whether a CDS Hooks service conforms: a table of requirements, each with a check that runs against any service by its URL.

    results = run(Probe("https://cds.example", signer))

Rows are named by letter and number; docs/conformance.md lists them all, those that no test from outside can show included.
"""

from cds.conformance.probe import CannotProbe, Probe, Signer, read_signer
from cds.conformance.rows import LEFT_OUT, ROWS, Result, run

__all__ = ["LEFT_OUT", "ROWS", "CannotProbe", "Probe", "Result", "Signer", "read_signer", "run"]
