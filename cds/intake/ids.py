"""Ids of what is mapped, made from what its sender calls it: the same thing gets the same id each time it comes.

So the same delivery twice is the same resources, a correction replaces what it corrects, and two senders never mean one
resource by one id.
"""

from __future__ import annotations

import uuid

_NAMESPACE = uuid.UUID("3d0f6a3e-6b0c-5b0e-9d57-0c5b7f8e2a41")
NOT_TOLD_APART = (
    "nothing tells it from another result of its code",
    "send its own number, that of its specimen or order, or when the specimen was collected",
)
"""Why a result without a key is refused, and what to do: a later one would replace it."""


def made_id(sender: str, kind: str, *parts: str) -> str:
    """The id of a sender's resource that those parts tell from its others of that kind."""
    return str(uuid.uuid5(_NAMESPACE, "\n".join((sender, kind, *parts))))


def result_key(code: str, *, own: str = "", shared: str = "", sub: str = "", at: str = "") -> str:
    """What tells a result from all others of its patient: the sender's own name for it; else what it `shared` with the other

    results of its specimen or order; else when it was collected. "" if nothing does.
    """
    if own or not (shared or at):
        return own
    return "|".join((shared, code, sub) if shared else (shared, code, sub, at))
