"""Profiles of the property tests: `dev` by default, `ci` where CI is set, `nightly` on request (HYPOTHESIS_PROFILE).

No test records into the folder that it is run from.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator

import pytest
from argon2 import profiles
from hypothesis import HealthCheck, settings

from cds.calendar import live_in
from cds.record.passwords import cost

pytest_plugins = ["tests.record.databases", "tests.pages.chromium"]

_SLOW = [HealthCheck.too_slow]
settings.register_profile("dev", max_examples=50, deadline=None, suppress_health_check=_SLOW)
settings.register_profile(
    "ci", max_examples=120, deadline=None, derandomize=True, print_blob=True, suppress_health_check=_SLOW
)
settings.register_profile("nightly", max_examples=5000, deadline=None, suppress_health_check=_SLOW)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))

_AWAY = tempfile.TemporaryDirectory(prefix="exowatch-")
os.environ.setdefault("EXOWATCH_DATABASE_URL", f"sqlite:///{_AWAY.name}/record.sqlite")

# A hash is made to be slow, and hundreds of tests sign in. Processes that tests start hash at full cost (test_passwords).
cost(profiles.CHEAPEST)


def pytest_unconfigure() -> None:
    """Takes away the folder that a test's record went to by default."""
    _AWAY.cleanup()


@pytest.fixture
def place() -> Iterator[Callable[[str], None]]:
    """Moves the process to another time zone, until the test is over."""
    before = os.environ.get("TZ")
    yield live_in
    os.environ.pop("TZ", None)
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()
