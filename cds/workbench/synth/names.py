"""Names and record numbers of invented people: common ones, put together by chance, so that they are nobody's."""

from __future__ import annotations

from cds.workbench.synth.chance import Chance

RECORD_NUMBERS = "https://clinic.example/mrn"

_GIVEN = (
    "Agnès", "Aino", "Aylin", "Beatriz", "Chiara", "Dagny", "Dorota", "Elif", "Esther", "Fatou", "Greta", "Hanna", "Ines", "Ioana",
    "Jana", "Judit", "Kateřina", "Leila", "Lena", "Lucía", "Magda", "Mai", "Maren", "Marta", "Mei", "Nadia", "Noor", "Olga",
    "Paula", "Renée", "Rosa", "Saoirse", "Sigrid", "Sofía", "Tanja", "Teresa", "Vera", "Yara", "Zofia", "Zsuzsanna",
)  # fmt: skip
_FAMILY = (
    "Aalto", "Andersen", "Bauer", "Bianchi", "Castro", "Çelik", "Costa", "Dąbrowska", "Diallo", "Dubois", "Eriksen", "Fischer",
    "García", "Haddad", "Horváth", "Ivanova", "Jansen", "Jensen", "Kowalska", "Kraus", "Lindström", "Marin", "Mbeki", "Meyer",
    "Moreau", "Nagy", "Nakamura", "Novák", "O’Brien", "Öztürk", "Petrov", "Popescu", "Quist", "Rahman", "Rossi", "Sánchez",
    "Schäfer", "Šimić", "Sørensen", "Szabó", "Tran", "Ueda", "Vidal", "Virtanen", "Weber", "Yılmaz", "Ziegler", "Zhang",
)  # fmt: skip


def invented(seed: int, index: int) -> tuple[str, str, str]:
    """Given name, family name and record number of patient number `index` of a cohort."""
    chance = Chance(seed, index, "name")
    return chance.choice(_GIVEN), chance.choice(_FAMILY), f"{chance.integer(100, 899)}-{index + 1:06d}"
