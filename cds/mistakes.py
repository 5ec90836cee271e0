"""Every mistake that a rule book can hold, by a code that stays the same for ever; docs/lint/ has a page for each.

EX1: the file as such · EX2: rules · EX3: markers, gates, states · EX4: therapies, events, laboratories, evidence ·
EX5: tests · EX6: a site's overlay · EX7: what loads, and is likely not meant. A code is never used again for something else.
"""

from __future__ import annotations

from enum import Enum
from typing import Literal

Severity = Literal["error", "warning", "advice"]


class Mistake(Enum):
    """A kind of mistake. `error`: the rule book does not load; `warning`: it loads and will disappoint; `advice`: a habit."""

    code: str
    severity: Severity

    def __init__(self, code: str, severity: Severity = "error"):
        self.code = code
        self.severity = severity

    NOT_YAML = "EX101"
    UNKNOWN_KEY = "EX102"
    MISSING_KEY = "EX103"
    DUPLICATE_KEY = "EX104"
    NOT_A_TEXT = "EX105"
    NOT_A_LIST = "EX106"
    NOT_A_MAPPING = "EX107"
    UNKNOWN_WORD = "EX108"
    NOT_A_NUMBER = "EX109"
    NOT_A_PERCENTAGE = "EX110"
    NOT_DAYS = "EX111"
    NOT_A_DATE = "EX112"
    ALIAS_INSIDE_ITSELF = "EX113"
    NOT_A_RULE_BOOK = "EX114"
    UNUSABLE = "EX115"
    EMPTY_TEXT = "EX116"

    RULE_FILE_NAME = "EX201"
    UNKNOWN_MARKER = "EX202"
    UNKNOWN_FACT = "EX203"
    UNKNOWN_KIND_OF_FACT = "EX204"
    UNKNOWN_LIMIT = "EX205"
    UNKNOWN_STUDY = "EX206"
    NO_SUPPORT = "EX207"
    UNKNOWN_GATE = "EX208"
    UNKNOWN_THERAPY = "EX209"
    NO_ANCHOR = "EX210"
    UNKNOWN_STATE = "EX211"
    NO_CERTAINTY = "EX212"
    ASKED_TOO_EARLY = "EX213"
    NOTE_WITHOUT_WORDS = "EX214"
    OPTION_WITHOUT_WORDS = "EX215"
    FLOOR_BELOW_ONE = "EX216"
    WINDOW_BACKWARDS = "EX217"
    NO_LIMIT_NAMED = "EX218"
    NOT_A_CHANGE = "EX219"
    NOT_A_PAIR = "EX220"
    UNKNOWN_RESPONSE = "EX221"
    OTHER_REFERENCE = "EX222"
    NAME_OF_A_FACT = "EX223"
    UNKNOWN_FAULT = "EX224"
    DIRECTS_TREATMENT = "EX225"
    TOO_MANY_CONDITIONS = "EX226"
    NOT_COMBINABLE = "EX227"
    GATE_LEFT_OUT = "EX228"
    FACT_OF_A_GATE = "EX229"

    MARKER_TWICE = "EX301"
    CODE_TWICE = "EX302"
    UNIT_TWICE = "EX303"
    FACTOR_NOT_POSITIVE = "EX304"
    CANONICAL_UNIT = "EX305"
    NO_STATES = "EX306"
    WINDOW_MISSING = "EX307"
    GATE_TWICE = "EX308"
    WINDOW_TWICE = "EX309"
    MARKER_FILE_NAME = "EX310"

    THERAPY_TWICE = "EX401"
    BRIDGE_BEYOND_GAP = "EX402"
    UNKNOWN_KIND_OF_EVENT = "EX403"
    ASSAYS_OVERLAP = "EX404"
    CODE_WITHOUT_SYSTEM = "EX405"
    LABORATORY_TWICE = "EX406"
    OF_ANOTHER_LABORATORY = "EX407"
    UNKNOWN_PART = "EX408"
    NOT_AN_EFFICIENCY = "EX409"
    UNIT_OF_ANOTHER_MARKER = "EX410"
    LIMIT_OF_DETECTION = "EX411"
    UNKNOWN_TIME_ZONE = "EX412"
    STUDY_TWICE = "EX413"
    EVIDENCE_FILE_NAME = "EX414"
    IDENTIFIER_FORM = "EX415"
    RETRACTED_IN_USE = "EX416"

    TEST_OF_NO_RULE = "EX501"
    EXPECTS_NOTHING = "EX502"
    NOT_A_DAY = "EX503"
    NOT_A_SPAN = "EX504"
    NOT_A_VALUE = "EX505"
    UNKNOWN_REMARK = "EX506"
    NOTHING_SENT = "EX507"
    UNKNOWN_REASON = "EX508"
    EXPECTED_TWICE = "EX509"

    NOT_TO_BE_OVERLAID = "EX601"
    ONLY_TO_BE_ADDED_TO = "EX602"
    SHIPPED_CHANGED = "EX603", "warning"
    READ_BY_NOBODY = "EX604", "warning"

    UNUSED_FACT = "EX701", "warning"
    UNUSED_LIMIT = "EX702", "warning"
    CONTRADICTION = "EX703", "warning"
    SHADOWED = "EX704", "warning"
    GAP = "EX705", "warning"
    WINDOW_NEVER_MET = "EX706", "warning"
    REVIEW_PAST = "EX707", "warning"
    REVIEW_NEAR = "EX708", "advice"
    NO_TESTS = "EX709", "warning"
    NO_QUIET_CASE = "EX710", "warning"
    STATE_UNTESTED = "EX711", "warning"
    ABOVE_ITS_EVIDENCE = "EX712", "warning"
    RETRACTED_SUPPORT = "EX713", "warning"
    SUPPORT_OF_CONCERN = "EX714", "warning"
    ADVICE_NEVER_GIVEN = "EX715", "warning"
    NOTHING_ADVISED = "EX716", "advice"
    UNREAD_MARKER = "EX717", "warning"
    UNUSED_WORDS = "EX718", "advice"
    FACT_WITHOUT_WORDS = "EX719", "advice"
    SUSPICION_WITHOUT_WORDS = "EX720", "advice"
    NO_LIMITATIONS = "EX721", "advice"
    TITLE_NAMES_A_FEAR = "EX722", "advice"
    NUMBER_IN_SUMMARY = "EX723", "advice"
    NO_FALSE_ALARMS = "EX724", "advice"
    NOT_REVIEWED = "EX725", "warning"
    VARIATION_ABOVE_ALL = "EX726", "warning"
    NO_UCUM = "EX727", "warning"

    def __str__(self) -> str:
        return self.code

    @property
    def slug(self) -> str:
        """Its name in file names: `unknown-fact`."""
        return self.name.lower().replace("_", "-")
