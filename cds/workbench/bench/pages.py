"""The pages at `/author`: the rules, each in prose and source; one tried on a patient; what other limits would do."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import quote, urlencode

from cds.board.words import label, words
from cds.errors import Disagreement, EngineFault, RuleBookError
from cds.layers import Rules, rule_files, shipped_rules
from cds.publish.site.prose import Teller
from cds.reasoning.reasoner import Reasoner
from cds.reasoning.rulebook import Rule
from cds.service.access.gate import Act, Gate, Response, Visit
from cds.service.pages.rendering import pages_of, script_of
from cds.workbench.bench.aside import NotDone, Occupied, beside
from cds.workbench.bench.asked import MOST_SHOWN, Trouble, against_grammar, day_of, moves_of, trouble
from cds.workbench.bench.changing import Changed, Field, FilesChanged, Limits, with_text
from cds.workbench.bench.effects import Trial, trial
from cds.workbench.bench.patients import COHORT, Choice, Patients
from cds.workbench.bench.trying import tried
from cds.workbench.trials.lives import Life

page = pages_of(__name__.rpartition(".")[0])
T = TypeVar("T")

_OTHER_LIMITS, _TRIALS = 4, 32
"""How many books with other limits, and trials of them, are kept."""


class AuthorPages:
    """The pages over one rule book; safe to share between threads."""

    def __init__(self, reasoner: Reasoner, rules: Rules):
        self._reasoner, self._book, self._files = reasoner, reasoner.rulebook, rule_files(rules)
        self._teller = Teller(self._book)
        self._patients = Patients(self._book, self._files)
        self._books: _Kept[Reasoner] = _Kept(_OTHER_LIMITS)
        self._trials: _Kept[Trial] = _Kept(_TRIALS)
        self._lives: tuple[Life, ...] = ()  # of the cohort under the limits in use, once anybody asked

    def add_to(self, gate: Gate) -> None:
        """Put the pages behind the gate."""
        gate.add("/author", "GET", Act.TRY_RULES, self._list)
        gate.add("/author/try.js", "GET", Act.TRY_RULES, lambda _visit: script_of(_script()))
        gate.add("/author/rules/{rule}", "GET", Act.TRY_RULES, self._of_rule(self._rule))
        gate.add("/author/rules/{rule}/try", "GET", Act.TRY_RULES, self._of_rule(self._try))
        gate.add("/author/rules/{rule}/limits", "GET", Act.TRY_RULES, self._of_rule(self._limits))

    def _of_rule(self, shown: Callable[[Visit, Rule], Response]) -> Callable[[Visit], Response]:
        """A page about the rule that the address names; else the list, which says why there is no such page."""

        def answered(visit: Visit) -> Response:
            name = visit.path["rule"]
            rule = next((one for one in self._book.rules if one.name == name), None)
            if rule is not None:
                return shown(visit, rule)
            code = "withheld" if name in self._book.withheld else "resting" if name in self._book.resting else "rule"
            said = trouble(code, name, typed=name, why=self._book.withheld.get(name, ""))
            return self._list(visit, [said], HTTPStatus.NOT_FOUND)

        return answered

    def _list(self, visit: Visit, problems: Sequence[Trouble] = (), status: HTTPStatus = HTTPStatus.OK) -> Response:
        rows = [(rule, self._watched(rule)) for rule in self._book.rules]
        return page(
            "list", status, visitor=visit.visitor, here="author", problems=problems, rows=rows, book=self._book,
            resting=sorted(self._book.resting),
        )  # fmt: skip

    def _watched(self, rule: Rule) -> str:
        return " + ".join(self._teller.words.marker(marker) for marker in self._patients.markers(rule))

    def _rule(self, visit: Visit, rule: Rule) -> Response:
        try:
            choices, problems = self._patients.choices(rule), []
        except RuleBookError as error:
            choices, problems = (), against_grammar(error, "tests")
        return page(
            "rule", visitor=visit.visitor, here="author", problems=problems, rule=rule, own=_own(rule), told=self._teller.told(rule),
            limits=[(name, self._teller.limit(limit), getattr(limit, "because", "")) for name, limit in rule.limits.items()],
            source=Limits(rule).text, groups=_groups(choices), watched=self._watched(rule),
        )  # fmt: skip

    # trying ----------------------------------------------------------------------------------------------------------

    def _try(self, visit: Visit, rule: Rule) -> Response:
        query, problems = visit.query, list[Trouble]()
        changed, reasoner = self._changed(rule, query, problems)
        status = HTTPStatus.UNPROCESSABLE_ENTITY if problems else HTTPStatus.OK
        choices: tuple[Choice, ...] = ()
        patient = None
        try:
            choices = self._patients.choices(rule)
            key = query.get("patient", "") or (choices[0].key if choices else "")
            patient = self._patients.patient(rule, key)
        except RuleBookError as error:
            problems += against_grammar(error, "tests")
            status = HTTPStatus.UNPROCESSABLE_ENTITY
        except KeyError:
            problems.append(
                trouble("case" if choices else "no-cases", words().author.patient, typed=query.get("patient", ""))
            )
            status = HTTPStatus.NOT_FOUND
        rows, moves = moves_of(patient, query, problems) if patient is not None else ([], {})
        day = day_of(patient, query, problems) if patient is not None else None
        result = None
        if patient is not None and day is not None and reasoner is not None and not problems:
            try:
                result = tried(rule.name, patient, day, moves, self._reasoner, reasoner)
            except (EngineFault, Disagreement) as error:
                problems.append(trouble("fault", rule.name, why=str(error)))
                status = HTTPStatus.SERVICE_UNAVAILABLE
        elif problems and status == HTTPStatus.OK:
            status = HTTPStatus.UNPROCESSABLE_ENTITY
        limits = [(f"limit.{field.key}", value) for field, value in changed.values] if changed is not None else []
        typed_day = query.get("day", "")
        return page(
            "try", status, visitor=visit.visitor, here="author", problems=problems, rule=rule, own=_own(rule), groups=_groups(choices),
            patient=patient, rows=rows, watched=self._watched(rule), several=len(self._patients.markers(rule)) > 1, day=typed_day if typed_day or day is None else str(day), result=result, changed=changed, limits=limits,
            elsewhere=urlencode([(name, value) for name, value in query.items() if name != "day"]),
            asked=f"?{urlencode(limits)}" if limits else "", moved=bool(moves),
            back=urlencode([*([("patient", patient.choice.key)] if patient is not None else []), *limits]),
        )  # fmt: skip

    def _changed(
        self, rule: Rule, query: Mapping[str, str], problems: list[Trouble]
    ) -> tuple[Changed | None, Reasoner | None]:
        """The other limits that an address asks for, and who answers by them; None if nobody can, as `problems` then say."""
        typed = {name[6:]: value for name, value in query.items() if name.startswith("limit.")}
        changed = Limits(rule).changed(typed)
        if changed is None:
            return None, self._reasoner
        for one in changed.wrong:
            where = words().author.where_limit.format(limit=one.field.limit, part=label("author_parts", one.field.part))
            problems.append(trouble(one.why, where, field=f"limit.{one.field.key}", typed=one.typed))
        if changed.wrong:
            return changed, None
        key = rule.name, changed.text
        reasoner = self._books.get(key)
        if reasoner is None:
            try:
                book = with_text(self._files, rule, changed.text, self._book)
            except RuleBookError as error:
                problems += against_grammar(error, "limits")
                return changed, None
            except FilesChanged:
                problems.append(trouble("files", rule.file))
                return changed, None
            # What is compared with a limit is settled before the engine is asked: so it is the same for other limits.
            reasoner = Reasoner(book, engine=False)
            if all(one.clauses == self._book.rule(one.name).clauses for one in book.rules):
                reasoner.engine = self._reasoner.engine
            self._books.put(key, reasoner)
        return changed, reasoner

    # limits ----------------------------------------------------------------------------------------------------------

    def _limits(self, visit: Visit, rule: Rule) -> Response:
        query, problems = visit.query, list[Trouble]()
        changed, reasoner = self._changed(rule, query, problems)
        status = HTTPStatus.UNPROCESSABLE_ENTITY if problems else HTTPStatus.OK
        found: Trial | None = None
        if changed is not None and reasoner is not None:
            try:
                found = self._trial(rule, changed)
            except Occupied:
                problems.append(trouble("busy", rule.name))
                status = HTTPStatus.SERVICE_UNAVAILABLE
            except FilesChanged:
                problems.append(trouble("files", rule.file))
                status = HTTPStatus.CONFLICT
            except NotDone as error:
                problems.append(trouble("time" if str(error) == "time" else "ended", rule.name, why=str(error)))
                status = HTTPStatus.SERVICE_UNAVAILABLE
        asked = (
            urlencode([(f"limit.{field.key}", value) for field, value in changed.values]) if changed is not None else ""
        )
        fields: dict[str, list[tuple[Field, str]]] = {}
        for field in Limits(rule).fields:
            typed = query.get(f"limit.{field.key}", field.stands)[:MOST_SHOWN]
            fields.setdefault(field.limit, []).append((field, typed))
        response = page(
            "limits", status, visitor=visit.visitor, here="author", problems=problems, rule=rule, own=_own(rule), fields=fields,
            changed=changed, trial=found, asked=asked, unchanged=changed is None and any(name.startswith("limit.") for name in query), cohort=len(COHORT), parts=[self._book.rule(one) for one in rule.combines.values()],
            combined=[one for one in self._book.rules if rule.name in one.combines.values()],
            shipped=self._is_shipped(rule),
        )  # fmt: skip
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            response.headers["Retry-After"] = "5"
        return response

    def _is_shipped(self, rule: Rule) -> bool:
        """Whether a site cannot change its limits: what is laid over a shipped rule can only silence it."""
        if self._files.site:
            return not self._files.files[rule.file].own
        return self._files.root.resolve() == shipped_rules().resolve()

    def _trial(self, rule: Rule, changed: Changed) -> Trial:
        """What the limits would do. Raises `Occupied`, `NotDone`, `FilesChanged`."""
        key = rule.name, changed.text
        found = self._trials.get(key)
        if found is None:
            found = beside(trial, self._files, self._book.hash, rule.name, changed.text, self._lives)
            self._lives = found.lives
            self._trials.put(key, found)
        return found


class _Kept(Generic[T]):
    """The last few of something by key; safe to share between threads."""

    def __init__(self, most: int):
        self._most = most
        self._found: OrderedDict[tuple[str, str], T] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[str, str]) -> T | None:
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
            return self._found.get(key)

    def put(self, key: tuple[str, str], one: T) -> None:
        with self._lock:
            self._found[key] = one
            while len(self._found) > self._most:
                self._found.popitem(last=False)


@cache
def _script() -> str:
    return (Path(__file__).parent / "try.js").read_text(encoding="utf-8")


def _own(rule: Rule) -> str:
    return f"/author/rules/{quote(rule.name)}"


def _groups(choices: Sequence[Choice]) -> dict[str, list[Choice]]:
    """Choices by the file of tests from which they come; "" for the cohort."""
    found: dict[str, list[Choice]] = {}
    for one in choices:
        found.setdefault(one.group, []).append(one)
    return found
