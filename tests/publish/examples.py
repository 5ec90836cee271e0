"""One file for each resource that is emitted, and for what laboratories' files become: `python -m tests.publish.examples FOLDER`, for a validator to read."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.intake.fuzz import mapped
from tests.publish.test_publish import emitted


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for number, resource in enumerate((*emitted(), *mapped())):
        path = folder / f"{number:04d}-{resource['resourceType']}.json"
        path.write_text(json.dumps(resource, default=float), encoding="utf-8")
    sys.stdout.write(f"{number + 1} resources in {folder}\n")


if __name__ == "__main__":
    main()
