"""Days are those of the place: an evening west of Greenwich is not the next day, a morning east of it not the day before."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds.calendar import beginning, clock_of, day_of, live_in

ZONES = ("UTC", "Europe/Berlin", "America/Los_Angeles", "Pacific/Kiritimati", "Asia/Kathmandu")


pytestmark = pytest.mark.usefixtures("place")


@pytest.mark.parametrize(
    ("zone", "instant", "day", "clock"),
    [
        ("UTC", "2026-11-25T23:40:00.000000Z", "2026-11-25", "23:40 UTC"),
        ("Europe/Berlin", "2026-11-25T23:40:00.000000Z", "2026-11-26", "00:40 +01:00"),
        ("Europe/Berlin", "2026-06-30T22:00:00Z", "2026-07-01", "00:00 +02:00"),  # summer
        ("America/Los_Angeles", "2026-11-25T07:59:59Z", "2026-11-24", "23:59 -08:00"),
        ("Pacific/Kiritimati", "2026-11-25T10:00:00Z", "2026-11-26", "00:00 +14:00"),
    ],
)
def test_an_instant_is_of_the_day_of_the_place(zone: str, instant: str, day: str, clock: str) -> None:
    live_in(zone)
    assert (day_of(instant), clock_of(instant)) == (day, clock)


@pytest.mark.parametrize("stated", ["2026-11-25", "2026-11", "2026", ""])
def test_a_day_stays_as_it_is(stated: str) -> None:
    live_in("Pacific/Kiritimati")
    assert day_of(stated) == stated


@given(day=st.dates(date(1990, 1, 1), date(2037, 12, 30)), zone=st.sampled_from(ZONES))
def test_a_day_begins_with_the_first_instant_that_is_of_it(day: date, zone: str) -> None:
    live_in(zone)
    begins = beginning(day.isoformat())
    assert day_of(begins) == day.isoformat()
    assert begins < beginning((day + timedelta(days=1)).isoformat())


def test_no_day_begins_never() -> None:
    assert beginning("") == ""


@pytest.mark.parametrize("zone", ["Europe/Berlim", "../etc/passwd", "+01:00"])
def test_a_zone_that_there_is_not_is_refused_and_nothing_changes(zone: str) -> None:
    live_in("Asia/Kathmandu")
    with pytest.raises(ValueError, match="there is no time zone"):
        live_in(zone)
    assert clock_of("2026-11-25T00:00:00Z") == "05:45 +05:45"


def test_the_command_lives_where_its_setting_says() -> None:
    """And says so if it cannot."""
    asked = [sys.executable, "-m", "cds.cli", "rules", "list"]
    wrong = subprocess.run(
        asked, env=os.environ | {"EXOWATCH_TIME_ZONE": "Mars/Olympus"}, capture_output=True, text=True, check=False
    )
    assert wrong.returncode == 2
    assert "EXOWATCH_TIME_ZONE: there is no time zone 'Mars/Olympus'; write its name as Europe/Berlin" in wrong.stderr
