"""How passwords are kept: at the cost that RFC 9106 names for little memory, and hashes of another cost are told."""

from __future__ import annotations

import subprocess
import sys

from argon2 import profiles

from cds.record.passwords import hashed, is_outdated, matches

_PRINTS = "from cds.record.passwords import hashed; print(hashed('several words are best', 'reader'))"


def test_a_process_as_it_is_started_hashes_at_full_cost() -> None:
    done = subprocess.run([sys.executable, "-c", _PRINTS], capture_output=True, text=True, timeout=60, check=True)
    full = profiles.RFC_9106_LOW_MEMORY
    assert done.stdout.startswith(f"$argon2id$v=19$m={full.memory_cost},t={full.time_cost},p={full.parallelism}$")
    assert (full.memory_cost, full.time_cost) == (65536, 3)
    kept = done.stdout.strip()
    assert matches(kept, "several words are best")
    assert not matches(kept, "several words are worst")
    assert is_outdated(kept)  # of another cost than these tests hash at
    assert not is_outdated(hashed("several words are best", "reader"))
