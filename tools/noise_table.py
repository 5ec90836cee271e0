"""Writes the table of false alarms in stable patients into docs/trials.md, between the two comments that mark its place."""

from __future__ import annotations

from pathlib import Path

from cds.reasoning.loading import default_rulebook
from cds.workbench.trials.noise_table import RUNS, markdown, table

PAGE = Path(__file__).resolve().parents[1] / "docs" / "trials.md"
BEGIN, END = "<!-- the table: made by tools/noise_table.py -->", "<!-- the end of the table -->"


def main() -> None:
    """Draw everything anew; about twenty seconds."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    made = markdown(table(default_rulebook()), RUNS)
    PAGE.write_text(f"{before}{BEGIN}\n{made}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
