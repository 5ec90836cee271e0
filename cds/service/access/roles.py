"""Who may do what: acts, and the roles to which each is permitted. This table is all there is; what it does not permit is denied."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Role(StrEnum):
    """What somebody is to the board."""

    READER = "reader"
    REVIEWER = "reviewer"
    CHAIR = "chair"
    AUTHOR = "author"
    AUDITOR = "auditor"
    ADMIN = "admin"


class Act(StrEnum):
    """What a page does; each route names one."""

    VIEW = "view"
    DECIDE = "decide"
    HOLD_MEETINGS = "hold-meetings"
    READ_RULES = "read-rules"
    TRY_RULES = "try-rules"
    READ_AUDIT = "read-audit"
    KEEP_ACCOUNTS = "keep-accounts"
    KEEP_OWN_ACCOUNT = "keep-own-account"


PERMITTED: Mapping[Act, frozenset[Role]] = MappingProxyType(
    {
        Act.VIEW: frozenset({Role.READER, Role.REVIEWER, Role.CHAIR}),
        Act.DECIDE: frozenset({Role.REVIEWER, Role.CHAIR}),
        Act.HOLD_MEETINGS: frozenset({Role.CHAIR}),
        Act.READ_RULES: frozenset({Role.READER, Role.REVIEWER, Role.CHAIR, Role.AUTHOR}),
        Act.TRY_RULES: frozenset({Role.AUTHOR}),
        Act.READ_AUDIT: frozenset({Role.AUDITOR}),
        Act.KEEP_ACCOUNTS: frozenset({Role.ADMIN}),
        Act.KEEP_OWN_ACCOUNT: frozenset(Role),
    }
)

OF_NO_PATIENT = frozenset({Act.READ_RULES})
"""What a session that was opened for one patient may do besides, for it tells of nobody."""
OF_NO_RECORD = frozenset({Act.TRY_RULES})
"""What shows nothing of the record, only rules and made-up patients: that somebody looked leaves no entry in the audit."""
ROLES = tuple(role.value for role in Role)


def known(words: frozenset[str]) -> frozenset[Role]:
    """Those of the words that are roles; others permit nothing."""
    return frozenset(Role(word) for word in words if word in ROLES)
