"""JUnit XML of a run of rule tests: what continuous integration shows of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

from cds.workbench.proving.cases import RuleTest
from cds.workbench.proving.running import Failure

_FORBIDDEN = dict.fromkeys([*range(9), 11, 12, *range(14, 32)], "�")


def write_junit(
    path: Path, tests: Sequence[RuleTest], failures: Sequence[Failure], seconds: Mapping[str, float]
) -> None:
    """One suite for each file of tests, one case for each of its cases. `seconds`: by file and name of the case."""
    failed: dict[str, list[Failure]] = {}
    for failure in failures:
        failed.setdefault(identity(failure.test), []).append(failure)
    root = Element("testsuites", name="exowatch rules test", tests=str(len(tests)), failures=str(len(failed)))
    for file in dict.fromkeys(test.file for test in tests):
        own = [test for test in tests if test.file == file]
        broken = [test for test in own if identity(test) in failed]
        spent = sum(seconds.get(identity(test), 0.0) for test in own)
        suite = SubElement(
            root,
            "testsuite",
            name=file,
            tests=str(len(own)),
            failures=str(len(broken)),
            errors="0",
            time=f"{spent:.3f}",
        )
        for test in own:
            case = SubElement(
                suite, "testcase", classname=test.rule, name=_clean(test.name), file=file, line=str(test.line)
            )
            case.set("time", f"{seconds.get(identity(test), 0.0):.3f}")
            for failure in failed.get(identity(test), ()):
                said = SubElement(
                    case,
                    "failure",
                    message=f"day {failure.day}: expected {failure.wanted}, got {failure.got}",
                    type="expectation",
                )
                said.text = _clean(str(failure))
    indent(root)
    ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def identity(test: RuleTest) -> str:
    """What tells a case from all others of a run."""
    return f"{test.file}: {test.name}"


def _clean(text: str) -> str:
    """Without the characters that XML cannot hold."""
    return text.translate(_FORBIDDEN)
