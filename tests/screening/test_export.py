"""What a folder holds: no line is lost or read twice wherever files are cut, and a folder that is none says what it is."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds.errors import InputError
from cds.screening.export import LONGEST, Broken, lines, open_export


@given(
    content=st.lists(
        st.text(st.characters(codec="utf-8", categories=("Ll", "Nd", "Zs", "Po")), max_size=30), max_size=30
    ),
    piece=st.integers(1, 200),
    ends=st.sampled_from(["\n", "\r\n"]),
    last=st.booleans(),
)
def test_pieces_hold_every_line_once(
    tmp_path_factory: pytest.TempPathFactory, content: list[str], piece: int, ends: str, last: bool
) -> None:
    folder = tmp_path_factory.mktemp("export")
    text = ends.join(content) + (ends if last else "")
    (folder / "Observation.ndjson").write_bytes(text.encode())
    export = open_export(folder, piece)
    found = [line for one in export.pieces for line in lines(folder, one)]
    wanted = text.encode().split(b"\n")
    wanted = wanted[:-1] if wanted[-1] == b"" else wanted
    assert found == [line.rstrip(b"\r") for line in wanted]
    assert [one.number for one in export.pieces] == list(range(len(export.pieces)))


def test_a_compressed_file_is_one_piece(tmp_path: Path) -> None:
    (tmp_path / "Patient.ndjson.gz").write_bytes(gzip.compress(b"a\nb\n\nc"))
    export = open_export(tmp_path, 1)
    (piece,) = export.pieces
    assert list(lines(tmp_path, piece)) == [b"a", b"b", b"", b"c"]


@pytest.mark.parametrize(("cut", "said"), [(-12, "ends too early"), (30, "ends too early")])
def test_a_compressed_file_that_ends_early_gives_what_it_holds_and_says_so(tmp_path: Path, cut: int, said: str) -> None:
    whole = gzip.compress(b"".join(b'{"line": %d}\n' % number for number in range(5000)))
    (tmp_path / "Patient.ndjson.gz").write_bytes(whole[:cut])
    (piece,) = open_export(tmp_path).pieces
    found: list[bytes | None] = []
    with pytest.raises(Broken, match=said):
        found.extend(lines(tmp_path, piece))
    again: list[bytes | None] = []
    try:
        for line in lines(tmp_path, piece):
            again.append(line)
    except Broken:
        pass
    assert again == [b'{"line": %d}' % number for number in range(len(again))]


def test_a_damaged_compressed_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "Patient.ndjson.gz").write_bytes(b"this is no gzip at all")
    (piece,) = open_export(tmp_path).pieces
    with pytest.raises(Broken, match="damaged"):
        list(lines(tmp_path, piece))


def test_a_line_longer_than_any_resource_is_passed_over_whole(tmp_path: Path) -> None:
    (tmp_path / "Patient.ndjson").write_bytes(b"a\n" + b"x" * (2 * LONGEST) + b"\nb\n")
    export = open_export(tmp_path)
    assert [line for one in export.pieces for line in lines(tmp_path, one)] == [b"a", None, b"b"]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "there is no .ndjson or .ndjson.gz file"),
        ({"Patient.json": b"{}"}, "there is no .ndjson"),
        ({"Patient.ndjson": b"{}\n", "Observation.ndjson.part": b"{"}, "this file is not whole"),
        ({"Patient.ndjson": b"{}\n", "fetch.json": b'{"request": "https://a/$export?_since=2026-01-01T00:00:00Z"}'}, "only what changed"),
        ({"Patient.ndjson": b"{}\n", "fetch.json": b'{"request": {"since": "2026-01-01T00:00:00Z"}, "complete": true}'}, "only what changed"),
        ({"Patient.ndjson": b"{}\n", "fetch.json": b'{"request": {"since": ""}, "complete": false}'}, "not whole yet"),
        ({"Patient.ndjson": b"{}\n", "manifest.json": b'{"request": "https://a/$export?_type=Patient&_since=2026"}'}, "only what changed"),
    ],
)  # fmt: skip
def test_a_folder_that_is_no_whole_export_says_what_it_is(tmp_path: Path, files: dict[str, bytes], said: str) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=said):
        open_export(tmp_path)


def test_a_folder_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        open_export(tmp_path / "nowhere")


def test_an_export_is_another_once_a_file_changes(tmp_path: Path) -> None:
    (tmp_path / "Patient.ndjson").write_bytes(b"{}\n")
    before = open_export(tmp_path).hash
    assert open_export(tmp_path).hash == before
    (tmp_path / "Patient.ndjson").write_bytes(b"{}\n{}\n")
    assert open_export(tmp_path).hash != before
