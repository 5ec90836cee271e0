"""Days, figures and units as clinicians write them; what somebody sent, or is told to send, stays as it is."""

from __future__ import annotations

import pytest

from cds.legible import legible


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("of 2025-04-21, 6.3 10*6{particles}/mL", "of 21 Apr 2025, 6.3 × 10⁶ particles/mL"),
        ("6.3 10^6/mL", "6.3 × 10⁶/mL"),
        ("1.90e6 {particles}/mL", "1.90 × 10⁶ particles/mL"),
        ("4e6 /mL, 1.81e-4 per EV", "4 × 10⁶ /mL, 1.81 × 10⁻⁴ per EV"),
        ("11000000000 {particles}/mL", "1.1 × 10¹⁰ particles/mL"),
        ("clone 12e4", "clone 12e4"),
        ("2025-02-30 is no day", "2025-02-30 is no day"),
        ("“2025-02-30” is no date", "“2025-02-30” is no date"),
        (
            "“2025-02-03” and “5.6 10*6/mL” were sent on 2025-04-21",
            "“2025-02-03” and “5.6 10*6/mL” were sent on 21 Apr 2025",
        ),
        ("27.6 {fold}, 3 {delta_Ct}", "27.6 fold, 3 ΔCt"),
    ],
)
def test_what_is_rewritten_and_what_stays(said: str, shown: str) -> None:
    assert legible(said) == shown
    assert legible(shown) == shown
