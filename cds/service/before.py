"""What the record knows of a patient beside what is said now, so that an answer is silent only where nothing stands."""

from __future__ import annotations

from cds.advice.advisory import Advisory
from cds.advice.cards import is_shown
from cds.advice.reminder import SPEAKS_THOUGH_ANSWERED, Stands
from cds.record.recorder import Known
from cds.record.standing import Open


class Before:
    """What was answered, and what stands from before; asked for one answer, advisory by advisory."""

    def __init__(self, recorded: Known):
        self._recorded = recorded
        self._left = {one.id: (one.question, self._stands(one)) for one in recorded.left_open}
        self._silent: list[Stands] = []

    def _stands(self, one: Open) -> Stands:
        return Stands(one.said, one.since, self._recorded.answered.get(one.basis, ""), one.sent)

    def silences(self, advisory: Advisory) -> bool:
        """Whether its card was answered: then it is none again, and what must not fall silent for that is kept for the end."""
        answered = self._recorded.answered.get(advisory.digest)
        if answered is None:
            return False
        if is_shown(advisory):
            since = self._recorded.since.get(advisory.rule.name, answered)
            self._silent.append(Stands(advisory, since, answered))
        return True

    def of(self, advisory: Advisory) -> list[Stands]:
        """What stands from before on the question of an advisory that is shown; it is named there, and nowhere else."""
        if not is_shown(advisory):
            return []
        about = (advisory.rule.name, *advisory.rule.also)
        return [self._left.pop(key)[1] for key in list(self._left) if self._left[key][0] in about]

    def unnamed(self, *, alone: bool) -> list[Stands]:
        """What no card has named; `alone`: there is no card at all. What was answered speaks only where all else is silent."""
        left = [one for _, one in self._left.values()]
        silent = [one for one in (*left, *self._silent) if one.answered and one.was.state in SPEAKS_THOUGH_ANSWERED]
        return [one for one in left if not one.answered] + (silent if alone else [])
