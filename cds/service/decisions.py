"""What a board decided about an advisory, by HTTP: read strictly, recorded once, and who comes second hears who was first."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

import msgspec

from cds.errors import ExowatchError
from cds.record.responses import DISPOSITIONS, AlreadyDecided, Decision, Ended, NoSuchAdvisory, Responses
from cds.service.problems import Problem


class _Body(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    revision: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
    code: str
    by: str
    follow_up: str = ""


def decide(responses: Responses, tenant: str, advisory: str, body: bytes) -> dict[str, Any]:
    """Record a decision; its id. Raises `Problem` 400, 404, or 409 with the winner named or what ended it, and `RecordUnavailable`.

    The body holds `revision` (of the advisory that was decided about), `code`, `by` (a role or a pseudonym, never a name)
    and, if there is one, `followUp` (a day).
    """
    try:
        stated = msgspec.json.decode(body, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Problem(
            400,
            "structure",
            "the body is to be one JSON object with nothing but revision (a number), code, by and, if there is one, followUp",
        ) from None
    if not 0 < len(stated.by.strip()) <= 128 or "\0" in stated.by:
        raise Problem(400, "value", "it is to be a role or a pseudonym of at most 128 characters", "by")
    if stated.follow_up:
        try:
            date.fromisoformat(stated.follow_up)
        except ValueError:
            raise Problem(400, "value", "it is to be a day such as 2025-04-08", "followUp") from None
    try:
        key = responses.decide(
            Decision(advisory, stated.revision, stated.code, stated.by.strip(), stated.follow_up), tenant
        )
    except (AlreadyDecided, Ended) as error:
        raise Problem(409, "conflict", str(error)) from None
    except NoSuchAdvisory as error:
        raise Problem(404, "not-found", str(error)) from None
    except ExowatchError as error:
        if type(error) is not ExowatchError:
            raise
        known = f"it is none of: {', '.join(DISPOSITIONS)}" if stated.code not in DISPOSITIONS else str(error)
        raise Problem(400, "code-invalid", known, "code") from None
    return {"id": key, "advisory": advisory, "revision": stated.revision}
