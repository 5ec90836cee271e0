"""The tree keeps its promises: one direction of imports, narrow use of libraries, no stray names."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STAGES = (
    "chart",
    "reasoning",
    "advice",
    "drawing",
    "publish",
    "record",
    "exchange",
    "intake",
    "board",
    "service",
    "workbench",
    "screening",
)
FOUNDATION = ("addresses", "calendar", "counting", "errors", "layers", "legible", "letters", "mistakes", "source")
"""Root modules that every stage may use; the other root modules stand above the stages."""
MODULES = sorted((ROOT / "cds").rglob("*.py"))


def imports(path: Path) -> set[str]:
    """The dotted names that a module imports, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def stage_of(dotted: str) -> str | None:
    parts = dotted.split(".")
    return parts[1] if len(parts) > 1 and parts[0] == "cds" else None


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_stage_imports_only_from_stages_before_it(path: Path) -> None:
    own = path.relative_to(ROOT / "cds").parts[0]
    if own not in STAGES:
        return
    for imported in imports(path):
        stage = stage_of(imported)
        if stage in STAGES:
            assert STAGES.index(stage) <= STAGES.index(own), f"{name(path)} reaches back to {imported}"
        elif stage is not None and stage not in FOUNDATION:
            assert own in ("service", "workbench", "screening"), f"{name(path)} uses {imported}"


@pytest.mark.parametrize(
    ("library", "homes"),
    [
        ("durable_rules_engine", ("cds/reasoning/engine.py",)),
        ("durable", ()),
        ("fastapi", ("cds/service",)),
        ("starlette", ("cds/service",)),
        ("sqlalchemy", ("cds/record",)),
        ("alembic", ("cds/record",)),
        ("psycopg", ()),
        ("typer", ("cds/cli",)),
        ("yaml", ("cds/source.py",)),
        ("argon2", ("cds/record/passwords.py",)),
        ("authlib", ("cds/service/access/relying.py",)),
    ],
)
def test_a_library_stays_where_it_belongs(library: str, homes: tuple[str, ...]) -> None:
    users = [name(path) for path in MODULES if any(i == library or i.startswith(f"{library}.") for i in imports(path))]
    assert [user for user in users if not user.startswith(homes)] == []


def test_the_reference_shares_no_code_with_the_rules_it_checks() -> None:
    for path in sorted((ROOT / "tests" / "reference").glob("*.py")):
        if path.name not in ("campaign.py", "test_agreement.py"):
            assert not [i for i in imports(path) if i.startswith("cds.") and not i.startswith("cds.chart.model")]


def test_the_oracle_shares_no_code_with_the_compiler() -> None:
    used = imports(ROOT / "cds" / "reasoning" / "oracle.py")
    assert not [i for i in used if i.startswith(("cds.reasoning.compilation", "cds.reasoning.engine"))]


def test_artefacts_hold_no_python() -> None:
    for folder in ("fhir", "rules"):
        assert list((ROOT / folder).rglob("*.py")) == []


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_no_module_is_a_drawer_or_too_long(path: Path) -> None:
    assert path.stem not in ("utils", "util", "helpers", "helper", "manager", "common", "misc")
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 420


_EXEMPTION = re.compile(r"# (?:noqa: [A-Z0-9]+(?:, [A-Z0-9]+)*|type: ignore\[[a-z, -]+\]|pragma: no cover)(.*)$")


def test_whoever_exempts_a_line_says_why() -> None:
    for folder in ("cds", "tests", "benchmarks", "tools"):
        for path in (ROOT / folder).rglob("*.py"):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if found := _EXEMPTION.search(line):
                    assert re.match(r" +(-|#) \w", found[1]), f"{name(path)}:{number} does not say why"


def test_no_tracked_text_names_an_index() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a checkout")
    hosts = re.compile("|".join(["pypi" + r"\.org", "pythonhosted" + r"\.org", "npmjs" + r"\.org"]))
    for file in listed.stdout.splitlines():
        path = ROOT / file
        if path.is_file() and path.suffix in (".py", ".md", ".toml", ".yaml", ".json", ".lock", "", ".txt"):
            found = hosts.search(path.read_text(encoding="utf-8", errors="ignore"))
            assert found is None, f"{file} names {found}"
