"""What a board decided about an advisory, by HTTP: read strictly, recorded once, and who comes second hears who was first."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from cds.record.decisions import AlreadyDecided, Decision, Ended, NoSuchAdvisory, NotAccepted, Planned, Reassessed
from cds.record.reviews import Reviews
from cds.service.problems import Problem

_Number = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


class _Action(msgspec.Struct, forbid_unknown_fields=True):
    kind: str
    due: str = ""


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    revision: _Number
    code: str
    by: str
    seen: _Number = 0
    reason: str = ""
    note: str = ""
    actions: tuple[_Action, ...] = ()
    level: str = ""
    resistance: bool = False
    references: tuple[str, ...] = ()


def decide(reviews: Reviews, tenant: str, advisory: str, body: bytes) -> dict[str, Any]:
    """Record a decision; its id. Raises `Problem` 400, 404, or 409 with the winner named or what ended it, and `RecordUnavailable`.

    The body holds `revision` (of the advisory that was decided about), `code`, `by` (a role or a pseudonym, never a name) and, as far
    as they apply, `seen` (number of the newest decision that was seen), `reason`, `note`, `actions`, `level`, `resistance` and
    `references`: see `cds.record.decisions.Decision`.
    """
    try:
        stated = msgspec.json.decode(body, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Problem(
            400,
            "structure",
            "the body is to be one JSON object with nothing but revision (a number), code, by and, as far as they apply, seen (a "
            "number), reason, note, actions (each with kind and due), level, resistance (true or false) and references",
        ) from None
    actions = tuple(Planned(one.kind, one.due) for one in stated.actions)
    decision = Decision(
        advisory, stated.revision, stated.code, stated.by, stated.seen, stated.reason, stated.note, actions, stated.level,
        stated.resistance, stated.references,
    )  # fmt: skip
    try:
        key = reviews.decide(decision, tenant)
    except (AlreadyDecided, Ended, Reassessed) as error:
        raise Problem(409, "conflict", str(error)) from None
    except NoSuchAdvisory as error:
        raise Problem(404, "not-found", str(error)) from None
    except NotAccepted as error:
        kind = "code-invalid" if error.field in ("code", "reason", "level") else "value"
        raise Problem(400, kind, error.why, error.field) from None
    return {"id": key, "advisory": advisory, "revision": stated.revision}
