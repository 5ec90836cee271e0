"""The commands that try rules on patients whose truth is known: under noise, over a cohort, against another version."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import msgspec
import typer

from cds import terminal
from cds.cli.options import AsJson, RulesDir, rulebook_of, rules_folder
from cds.counting import counted
from cds.errors import InputError
from cds.reasoning.rulebook import RuleBook

if TYPE_CHECKING:
    from cds.workbench.trials.cohorts import Cohort
    from cds.workbench.trials.comparison import Comparison

T = TypeVar("T")
Percent = Annotated[float | None, typer.Option(min=0, max=300, help="In per cent; default: the marker's file.")]
OnOff = Literal["on", "off"]
Form = Literal["collection", "bundle", "bulk", "hooks", "csv", "hl7v2"]


def synth(
    seed: Annotated[int, typer.Option(help="Same seed, same bytes, on any machine.")] = 1,
    patients: Annotated[int, typer.Option(min=1, help="How many patients.")] = 10,
    workers: Annotated[int, typer.Option(min=1, help="Processes; changes nothing but the time.")] = 1,
    out: Annotated[Path, typer.Option("--out", help="Folder to write to.")] = Path("cohort"),
    form: Annotated[Form, typer.Option("--format", help="collection: a Bundle with every version; bundle: R4 transactions; bulk: Bulk Data NDJSON; hooks: requests of an EHR; csv, hl7v2: what the example laboratories send.")] = "collection",
    per_file: Annotated[int, typer.Option(min=0, help="bulk: cut files after so many resources; 0: one for each type.")] = 0,
    design: Annotated[Path | None, typer.Option(help="YAML with what the cohort is to be like; the options below override it.")] = None,
    prevalence: Annotated[float | None, typer.Option(min=0, max=100, help="Per cent of treated lines that become resistant.")] = None,
    subtypes: Annotated[str, typer.Option(help="Mix, as in 'triple-negative=40 luminal=40 her2-positive=20'.")] = "",
    months: Annotated[int | None, typer.Option(help="Months of follow-up; default: three to five visits.")] = None,
    jitter: Annotated[int | None, typer.Option(help="Days by which visits are early or late at most.")] = None,
    drop_out: Annotated[float | None, typer.Option(min=0, max=100, help="Per cent who one day come no more.")] = None,
    faults: Annotated[float | None, typer.Option(min=0, max=100, help="Per cent of results that something befalls.")] = None,
    fault_mix: Annotated[str, typer.Option(help="Which, as in 'late=2 duplicate=1 wrong-unit=1'.")] = "",
    out_of_order: Annotated[float | None, typer.Option(min=0, max=100, help="Per cent whose results arrive in any order.")] = None,
    merged: Annotated[float | None, typer.Option(min=0, max=100, help="Per cent whose first results stand under another number.")] = None,
    deceased: Annotated[float | None, typer.Option(min=0, max=100, help="Per cent who die in the time.")] = None,
    rules: RulesDir = None,
) -> None:  # fmt: skip
    """Make synthetic patients with known truth: one file each, or what all share; and truth.jsonl."""
    from cds.workbench.synth import USUAL, read_design, write_cohort
    from cds.workbench.synth.design import mix_of

    shares = {
        "resistant": prevalence, "drop_out": drop_out, "faults": faults, "out_of_order": out_of_order, "merged": merged,
        "deceased": deceased,
    }  # fmt: skip
    stated: dict[str, Any] = {name: share / 100 for name, share in shares.items() if share is not None}
    stated |= {name: number for name, number in (("months", months), ("jitter", jitter)) if number is not None}
    mixes = (("subtypes", subtypes), ("fault_mix", fault_mix))
    stated |= {name: mix_of(text, name.replace("_", "-")) for name, text in mixes if text}
    wanted = replace(read_design(design) if design else USUAL, **stated).checked()
    with terminal.progress("making patients", patients) as step:
        files = write_cohort(
            seed, patients, workers, out, step, form=form, design=wanted, per_file=per_file, rules=rules_folder(rules)
        )
    shown = ", ".join(files[:6]) + (f" and {len(files) - 6} more" if len(files) > 6 else "")
    where = f"{out} ({shown})" if files else f"{out}"
    typer.echo(f"{counted(patients, 'patient')} in {where}, what is true of them in {out / 'truth.jsonl'}")
    if form in ("csv", "hl7v2"):
        typer.echo("faults and results that this form has no words for are named there as unsaid")


def backtest(
    cohort: Annotated[Path | None, typer.Option(help="Folder with a file for each patient, and truth.jsonl.")] = None,
    synthetic: Annotated[int | None, typer.Option(min=1, help="Instead: so many synthetic patients, made on the way.")] = None,
    seed: Annotated[int, typer.Option(help="Of synthetic patients.")] = 1,
    months: Annotated[int | None, typer.Option(help="Months of follow-up of synthetic patients; default: 24.")] = None,
    design: Annotated[Path | None, typer.Option(help="YAML with what synthetic patients are to be like; see synth.")] = None,
    at_prevalence: Annotated[list[float] | None, typer.Option(min=0, max=100, help="Per cent; may be given again: the predictive value there.")] = None,
    report: Annotated[Path | None, typer.Option(help="File for the report, as one HTML page.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes; changes nothing but the time.")] = 1,
    rules: RulesDir = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Ask the rules about a cohort whose truth is known, as of each visit: sensitivity, specificity, lead time, alerts, with intervals.

    Drafts and rules in shadow have a line of their own, and count in nothing else.
    """
    from cds.workbench.trials.backtest import backtest as measured
    from cds.workbench.trials.lives import lives
    from cds.workbench.trials.report import data, headline, page, tables
    from cds.workbench.trials.versions import Version

    patients = _cohort(cohort, synthetic, seed, months, design)
    book = rulebook_of(rules, drafts=True)
    prevalences = [one / 100 for one in at_prevalence or (10.0,)]
    with terminal.progress("asking about patients", len(patients)) as step:
        found = measured(
            _stepping(
                (life for (life,) in lives(patients, [Version(folder=rules_folder(rules), drafts=True)], workers)), step
            ),
            book,
            patients.name,
        )
    if report is not None:
        report.write_text(page(found, prevalences, [("rules", str(len(book.rules)))]), encoding="utf-8")
    if as_json:
        typer.echo(msgspec.json.encode(data(found, prevalences)).decode())
        return
    terminal.say(f"{found.cohort}; {counted(found.evaluations, 'evaluation')}; rule book {book.hash[:12]}")
    terminal.table(
        ["figure", "with 95 % interval", ""],
        [tuple(map(terminal.as_it_is, row)) for row in headline(found, prevalences)],
    )
    for sentence in found.unheard:
        terminal.say(sentence)
    for heads, rows in tables(found):
        typer.echo("")
        terminal.table(heads, [list(map(terminal.as_it_is, row)) for row in rows])
    if report is not None:
        terminal.say(f"\nreport: {report}")


def diff(
    before: Annotated[str, typer.Argument(metavar="A", help="A folder of rules, a release, a rule file, a revision of git, or the word shipped.")],
    after: Annotated[str, typer.Argument(metavar="B", help="The same, of the newer version.")],
    cohort: Annotated[Path | None, typer.Option(help="Folder with patients and truth.jsonl: who changes.")] = None,
    synthetic: Annotated[int | None, typer.Option(min=1, help="Instead: so many synthetic patients.")] = None,
    seed: Annotated[int, typer.Option(help="Of synthetic patients.")] = 1,
    months: Annotated[int | None, typer.Option(help="Months of follow-up of synthetic patients; default: 24.")] = None,
    design: Annotated[Path | None, typer.Option(help="YAML with what synthetic patients are to be like; see synth.")] = None,
    names: Annotated[int, typer.Option(min=0, help="How many patients of each change are named.")] = 5,
    workers: Annotated[int, typer.Option(min=1, help="Processes; changes nothing but the time.")] = 1,
    rules: RulesDir = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Say in words what changed between two versions of the rules, and which patients of a cohort they see otherwise.

    A rule file stands for the rules (--rules, or the shipped ones) with that file in the place of its namesake; a revision
    for the folder as it was then.
    """
    from cds.workbench.trials.comparison import compared
    from cds.workbench.trials.lives import lives, reasoner_of, unheard
    from cds.workbench.trials.versions import version
    from cds.workbench.trials.wording import changes

    with TemporaryDirectory() as room:
        versions = [version(text, rules_folder(rules), Path(room)) for text in (before, after)]
        reworded = changes(*(one.files() for one in versions))
        found: Comparison | None = None
        if cohort is not None or synthetic is not None:
            books = [reasoner_of(one).rulebook for one in versions]
            flags = {state.name for book in books for state in book.states if state.indicator == "warning"}
            patients = _cohort(cohort, synthetic, seed, months, design)
            with terminal.progress("comparing patients", len(patients)) as step:
                found = compared(_stepping(lives(patients, versions, workers), step), flags)
    if as_json:
        told = {"changes": [{"name": one.name, **one._asdict()} for one in reworded], "patients": found}
        typer.echo(msgspec.json.encode(told).decode())
        return
    for changed in reworded:
        terminal.say(f"{changed.name}: {changed.fate}")
        for line in changed.changes:
            terminal.say(f"  {line}")
    if not reworded:
        terminal.say(
            "the two say the same" + ("" if versions[0] == versions[1] else "; at most comments and layout differ")
        )
    if found is not None:
        _say_flips(found, names)
        for sentence in unheard(books[-1], found.asked):
            terminal.say(sentence)


def shadow(
    names: Annotated[list[str] | None, typer.Argument(metavar="[RULE…]", help="Rules; default: all in shadow.")] = None,
    cohort: Annotated[Path | None, typer.Option(help="Folder with patients and truth.jsonl, instead of the record.")] = None,
    synthetic: Annotated[int | None, typer.Option(min=1, help="Instead of the record: so many synthetic patients.")] = None,
    seed: Annotated[int, typer.Option(help="Of synthetic patients.")] = 1,
    months: Annotated[int | None, typer.Option(help="Months of follow-up of synthetic patients; default: 24.")] = None,
    design: Annotated[Path | None, typer.Option(help="YAML with what synthetic patients are to be like; see synth.")] = None,
    show: Annotated[bool, typer.Option("--names", help="Name the patients of each state.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes; changes nothing but the time.")] = 1,
    rules: RulesDir = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Show what rules in shadow have said on the record's stored evaluations, or would say on a cohort; nobody was shown it."""
    from cds.workbench.trials.lives import lives, unheard
    from cds.workbench.trials.shadow import Heard, in_shadow, listened, of_lives
    from cds.workbench.trials.versions import Version

    book = rulebook_of(rules)
    asked = _rules(book, names) if names else in_shadow(book)
    if not asked:
        terminal.say("no rule is in shadow: `status: shadow` in a rule's file has it evaluated and shown to nobody")
        return
    if cohort is not None or synthetic is not None:
        patients = _cohort(cohort, synthetic, seed, months, design)
        with terminal.progress("asking about patients", len(patients)) as step:
            made = lives(patients, [Version(folder=rules_folder(rules))], workers)
            found = listened(of_lives(_stepping((life for (life,) in made), step)), asked, book)
        where, where_said = patients.name, "this cohort"
    else:
        from cds.cli.record import opened
        from cds.record.stored import answered

        with opened() as (database, settings):
            stored = answered(database, settings.tenant)
            states = (
                Heard(one.patient, one.as_of, {name: said for name, (said, _) in one.answers.items()}) for one in stored
            )
            found = listened(states, asked, book)
        where = where_said = "the record"
    order = [state.name for state in book.states]
    if as_json:
        typer.echo(msgspec.json.encode({"of": where, "rules": found}).decode())
        return
    silent = [rule.name for rule in book.rules if rule.name not in asked]
    for sentence in unheard(book, [*silent, *(one.rule for one in found if one.evaluations)], where_said):
        terminal.say(sentence)
    for one in found:
        terminal.say(
            f"{one.rule} ({book.rule(one.rule).status}): {counted(one.evaluations, 'evaluation')} of {counted(len(one.last), 'patient')} of {where}"
        )
        for state, evaluations, patients_now in one.by_state(order):
            terminal.say(
                f"  {state}: {counted(evaluations, 'evaluation')}, last state of {counted(len(patients_now), 'patient')}"
            )
            if show and patients_now:
                terminal.say(f"    {', '.join(patients_now)}")
        flagged = ", ".join(f"{patient} ({day})" for patient, day in one.flagged.items()) if show else ""
        terminal.say(
            f"  would have flagged {counted(len(one.flagged), 'patient')}; flagged by no shown rule of the marker: {len(one.alone):,}"
            + (f": {flagged}" if flagged else "")
        )


def _rules(book: RuleBook, names: list[str]) -> list[str]:
    known = {rule.name for rule in book.rules if not rule.part}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            raise InputError(
                f"there is no rule '{name}'{f'; likely {near[0]} is meant' if near else ''}. Rules: {', '.join(sorted(known))}"
            )
    return names


def _say_flips(found: Comparison, names: int) -> None:
    terminal.say(f"\n{found.changed:,} of {counted(found.patients, 'patient')} would read otherwise")
    for rule in found.rules:
        terminal.say(f"{rule.rule}: {counted(len(rule.flips), 'patient')}, {counted(rule.visits, 'visit')}")
        for before, after, flips in rule.kinds():
            named = ", ".join(f"{flip.patient} ({flip.day})" for flip in flips[:names])
            more = f" and {len(flips) - names:,} more" if named and len(flips) > names else ""
            terminal.say(f"  {before} → {after}: {len(flips):,}{f': {named}{more}' if named else ''}")
        for word, flips in (("newly flagged", rule.newly), ("flagged no more", rule.no_more)):
            if flips:
                has = sum(flip.has for flip in flips)
                terminal.say(
                    f"  {word}: {len(flips):,}, of whom {has:,} have the condition and {len(flips) - has:,} do not"
                )


def _cohort(folder: Path | None, synthetic: int | None, seed: int, months: int | None, design: Path | None) -> Cohort:
    """The cohort that a call names: a folder, or synthetic patients."""
    from cds.workbench.synth import USUAL, read_design
    from cds.workbench.trials.cohorts import Folder, Synthetic

    if (folder is None) == (synthetic is None):
        raise InputError(
            "name a cohort with --cohort DIR, or how many synthetic patients with --synthetic N: one of the two"
        )
    if folder is not None:
        if months is not None or design is not None:
            raise InputError("--months and --design are for --synthetic: the patients of a folder are as they are")
        return Folder(folder)
    plan = read_design(design) if design else USUAL
    return Synthetic(seed, synthetic or 0, replace(plan, months=months or plan.months or 24).checked())


def _stepping(items: Iterable[T], step: Callable[[], object]) -> Iterator[T]:
    for item in items:
        yield item
        step()


def noise(
    names: Annotated[list[str], typer.Argument(metavar="RULE|MARKER…", help="Rules, or markers: all rules that read them.")],
    schedule: Annotated[str, typer.Option(help="Days of the follow-ups: first, every, how often; or a list: 42, 77, 105.")] = "63 q28d x6",
    baselines: Annotated[int, typer.Option(min=1, max=6, help="Samples before the line, a week apart.")] = 1,
    rise: Annotated[float, typer.Option(min=0.01, max=1000, help="How many times as much there truly is in whom something changes.")] = 3.0,
    onset: Annotated[int, typer.Option(help="Day from which on.")] = 0,
    over: Annotated[int, typer.Option(min=0, help="Days over which it changes; 0: at once.")] = 0,
    cva: Percent = None,
    cvi: Percent = None,
    total_ev_cv: Annotated[float, typer.Option(min=0, max=300, help="Variation of the total EV count, in per cent.")] = 0.0,
    assumed: Annotated[bool, typer.Option("--assumed", help="The laboratory states no variation: the rule goes by the marker's file.")] = False,
    thresholds: Annotated[str, typer.Option(help="Flat ratios of the operating curve; '' for none.")] = "1.5 1.75 2 2.25 2.5 3 3.5 4 5",
    floor: Annotated[OnOff, typer.Option(help="off: without the floor under the reference change.")] = "on",
    gates: Annotated[OnOff, typer.Option(help="off: without the shared gates, and with all windows of days open.")] = "on",
    svg: Annotated[Path | None, typer.Option(help="File for the operating curve as a picture; of several rules, a folder.")] = None,
    runs: Annotated[int, typer.Option(min=100, help="Patients drawn for each figure.")] = 20_000,
    seed: Annotated[int, typer.Option(help="Same seed, same draws.")] = 1,
    rules: RulesDir = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Show how often a rule speaks up by chance, and how often it finds a true change.

    The rule itself is asked, of patients who are stable and of patients in whom the marker truly changes; what varies is the
    measurement and the person. The operating curve puts a flat threshold in the place of the rule's own.
    """
    from cds.workbench.trials.noise import Conditions, Course
    from cds.workbench.trials.noise import schedule as days_of
    from cds.workbench.trials.noise_report import steps, under_noise
    from cds.workbench.trials.variants import Variant

    book = rulebook_of(rules, drafts=True)
    variation = [None if cv is None else cv / 100 for cv in (cva, cvi)]
    conditions = Conditions(days_of(schedule), baselines, variation[0], variation[1], total_ev_cv / 100, not assumed)
    course, variant, flat = Course(rise, onset, over), Variant(floor == "on", gates == "on"), _ratios(thresholds)
    found = []
    asked = _asked(book, names)
    with terminal.progress("drawing patients", len(asked) * steps(flat)) as step:
        for name in asked:
            found.append(under_noise(book, name, conditions, course, variant, flat, runs, seed, step))
    if svg is not None and flat:
        for one in found:
            file = svg if len(found) == 1 else svg / f"{one.trial.rule.name}.svg"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(one.picture(), encoding="utf-8")
    if as_json:
        typer.echo(msgspec.json.encode([one.data() for one in found]).decode())
        return
    for one in found:
        for line in one.introduction():
            terminal.say(line)
        for table in (one.states_table(), one.curve_table()):
            typer.echo("")
            terminal.table(*table)
        typer.echo("")


def _asked(book: RuleBook, names: list[str]) -> list[str]:
    """The rules that are named, and those that read a marker that is named; each once."""
    from cds.workbench.trials.variants import leaves

    rules = {rule.name for rule in book.rules}
    asked: list[str] = []
    for name in names:
        if name in rules:
            asked.append(name)
        elif name in book.catalogue.markers:
            readers = [
                rule.name
                for rule in book.rules
                if name in {leaf.watches for leaf in leaves(book, rule)} and not rule.part
            ]
            if not readers:
                raise InputError(
                    f"no rule reads the marker '{name}'; `exowatch rules list` shows which rules there are"
                )
            asked += readers
        else:
            near = difflib.get_close_matches(name, [*rules, *book.catalogue.markers], 1)
            raise InputError(
                f"'{name}' is neither a rule nor a marker{f'; likely {near[0]} is meant' if near else ''}. "
                f"Rules: {', '.join(sorted(rules))}; markers: {', '.join(sorted(book.catalogue.markers))}"
            )
    return list(dict.fromkeys(asked))


def _ratios(text: str) -> list[float]:
    try:
        ratios = [float(word) for word in text.replace(",", " ").split()]
    except ValueError:
        raise InputError(f"--thresholds: '{text}' must be ratios, as in '1.5 2 3'") from None
    if any(not 1 < ratio <= 1000 for ratio in ratios):
        raise InputError(
            f"--thresholds: '{text}': a ratio lies above 1 and is at most 1000; a fall is given by the rule itself"
        )
    return ratios
