"""Rule books as they are published: folders that stay as they are, each signed as a whole, and a pointer to the one in use.

    releases/
      current             the name of the version in use
      switches.jsonl      who put which version into use, and when
      2026.12.1/
        release.jws       what the version is and a digest of each file, signed (JWS, Ed25519)
        release.json      the same, to be read
        rules/  overlay/  the files

A service that is told of the folder reads nothing of it that is not signed by a key it knows.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from cds.errors import ExowatchError, RuleBookError
from cds.layers import RuleFile, RuleFiles
from cds.reasoning.loading import load_rulebook
from cds.reasoning.rulebook import RuleBook

CURRENT, SWITCHES, SIGNED, PLAIN = "current", "switches.jsonl", "release.jws", "release.json"
_ALGORITHM: Final = "Ed25519"
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]{0,63}")
_MOST = 4_000_000


class ReleaseError(ExowatchError):
    """A release cannot be made, read or trusted; says which, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Release:
    """What a published rule book says of itself."""

    version: str
    previous: str  # the version that was in use when it was made; "" for the first
    made: str  # when, as an instant
    by: str
    changes: str  # the changelog's entry
    rulebook: str  # hash of the rule book
    software: str  # with which it was checked
    key: str  # thumbprint of the key that signed it


@dataclass(frozen=True, slots=True)
class Published:
    """A release and the rule book in it."""

    release: Release
    files: RuleFiles
    book: RuleBook


# keys ------------------------------------------------------------------------------------------------------------------


def new_key(path: Path) -> Path:
    """Make a key to sign with in a file that only its owner reads, and the public half beside it, whose path is returned.

    Raises `ReleaseError` if one of the files is there.
    """
    key, public = OKPKey.generate_key(_ALGORITHM), path.with_name(f"{path.stem}.public.json")
    for file, private in ((path, True), (public, False)):
        try:
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o644)
        except FileExistsError:
            raise ReleaseError(f"{file} exists: a key is never written over. Name another file") from None
        except OSError as error:
            raise ReleaseError(f"{file} cannot be written: {error.strerror}") from error
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            json.dump(key.as_dict(private=private), out)
            out.write("\n")
    return public


def read_keys(path: Path) -> Mapping[str, OKPKey]:
    """The public keys of a file, by thumbprint: one key as JWK, or a set of them. Raises `ReleaseError`."""
    content = _json(path)
    stated = content.get("keys", [content]) if isinstance(content, dict) else None
    found: dict[str, OKPKey] = {}
    for one in stated if isinstance(stated, list) else ():
        if isinstance(one, dict) and "d" in one:
            raise ReleaseError(
                f"{path} holds a private key: who can read it can sign. List the file *.public.json instead"
            )
        key = _key(one, path)
        found[key.thumbprint()] = key
    if not found:
        raise ReleaseError(f"{path} holds no key. It is made by `exowatch rules new-key`")
    return found


def signing_key(path: Path) -> OKPKey:
    """The private key of a file. Raises `ReleaseError`."""
    if not path.exists():
        raise ReleaseError(f"{path} is not there, so nothing can be signed. Make a key: exowatch rules new-key {path}")
    content = _json(path)
    if not isinstance(content, dict) or "d" not in content:
        raise ReleaseError(f"{path} is no private key, so nothing can be signed. Make one: exowatch rules new-key")
    return _key(content, path)


def _key(content: object, path: Path) -> OKPKey:
    try:
        if not isinstance(content, dict) or content.get("crv") != "Ed25519":
            raise ValueError
        return OKPKey.import_key(content)
    except (JoseError, ValueError, TypeError):
        raise ReleaseError(f"{path} holds no Ed25519 key (JWK). It is made by `exowatch rules new-key`") from None


# writing ---------------------------------------------------------------------------------------------------------------


def write_release(
    shelf: Path, files: RuleFiles, book: RuleBook, key_file: Path, *, version: str, made: str, by: str, changes: str,
    software: str,
) -> Release:  # fmt: skip
    """Put a rule book on the shelf, whole or not at all; which version is in use stays as it is. Raises `ReleaseError`."""
    if not _VERSION.fullmatch(version):
        raise ReleaseError(f"'{version}' is no version: letters, digits and .+_- , such as 2026.12.1")
    if (shelf / version).exists():
        raise ReleaseError(f"{shelf / version} exists: a release stays as it is. Choose another version")
    key = signing_key(key_file)
    listed: list[dict[str, Any]] = []
    texts: dict[str, bytes] = {}
    for name, file in files.files.items():
        entry: dict[str, Any] = {"name": name, "own": file.own, "rules": _kept(texts, f"rules/{name}", file.path)}
        if file.over is not None:
            entry["overlay"] = _kept(texts, f"overlay/{name}", file.over.path)
        listed.append(entry)
    release = Release(version, current(shelf), made, by, changes, book.hash, software, key.thumbprint())
    said = {name: getattr(release, name) for name in Release.__slots__}
    manifest = {**said, "site": files.site, "made_for": dict(files.made_for), "files": listed}
    payload = json.dumps(manifest, ensure_ascii=False, sort_keys=True).encode()
    signed = jws.serialize_compact({"alg": _ALGORITHM, "kid": release.key}, payload, key, algorithms=[_ALGORITHM])
    making = shelf / f".{version}.{secrets.token_hex(4)}"
    try:
        for place, text in texts.items():
            (making / place).parent.mkdir(parents=True, exist_ok=True)
            (making / place).write_bytes(text)
        (making / PLAIN).write_text(json.dumps(manifest, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        (making / SIGNED).write_text(signed + "\n", encoding="ascii")
        making.rename(shelf / version)
    except OSError as error:
        raise ReleaseError(f"the release cannot be written to {shelf}: {error.strerror}") from error
    return release


def _kept(texts: dict[str, bytes], place: str, path: Path) -> str:
    texts[place] = path.read_bytes()
    return hashlib.sha256(texts[place]).hexdigest()


def put_into_use(shelf: Path, version: str, *, by: str, at: str) -> None:
    """Point to a version that is on the shelf, a newer or an older one. Raises `ReleaseError`."""
    if not _VERSION.fullmatch(version) or not (shelf / version / SIGNED).is_file():
        known = ", ".join(versions(shelf)) or "none"
        raise ReleaseError(f"{shelf} holds no version '{version}'; there are: {known}")
    line = json.dumps({"at": at, "by": by, "from": current(shelf), "to": version}, ensure_ascii=False)
    pointer = shelf / f".{CURRENT}.{secrets.token_hex(4)}"
    try:
        with (shelf / SWITCHES).open("a", encoding="utf-8") as switches:
            switches.write(line + "\n")
        pointer.write_text(version + "\n", encoding="ascii")
        pointer.replace(shelf / CURRENT)
    except OSError as error:
        raise ReleaseError(f"{shelf / CURRENT} cannot be written: {error.strerror}") from error


# reading ---------------------------------------------------------------------------------------------------------------


def current(shelf: Path) -> str:
    """The version in use; "" if none is."""
    try:
        return (shelf / CURRENT).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def read_current(shelf: Path, keys: Path) -> Published:
    """The version in use, signed by one of the keys in that file. Raises `ReleaseError`, also if none is in use."""
    version = current(shelf)
    if not version:
        raise ReleaseError(f"No release in {shelf} is in use: see `exowatch rules publish` and `rules use`")
    return read_release(shelf, version, read_keys(keys))


def versions(shelf: Path) -> list[str]:
    """All versions on the shelf, the oldest first; those that bear the same instant by name."""
    found = [path.parent for path in shelf.glob(f"*/{SIGNED}") if _VERSION.fullmatch(path.parent.name)]
    return [path.name for path in sorted(found, key=lambda path: (str(_plain(path).get("made", "")), path.name))]


def _plain(folder: Path) -> Mapping[str, Any]:
    try:
        content = _json(folder / PLAIN)
    except ReleaseError:
        return {}
    return content if isinstance(content, dict) else {}


def read_release(shelf: Path, version: str, keys: Mapping[str, OKPKey] | None) -> Published:
    """A version with its rule book, every file as it was signed. Raises `ReleaseError`, also for a book that does not load.

    With no `keys` (None) it is not asked who signed it: enough to see what was altered, and nothing to trust.
    """
    folder = shelf / version
    if not _VERSION.fullmatch(version) or not (folder / SIGNED).is_file():
        raise ReleaseError(f"{shelf} holds no version '{version}'; there are: {', '.join(versions(shelf)) or 'none'}")
    manifest = _verified(folder, keys) if keys is not None else _stated(folder)
    try:
        release = Release(**{name: str(manifest[name]) for name in Release.__slots__})
        files = _files(folder, manifest)
    except (KeyError, TypeError):
        raise ReleaseError(f"{folder / SIGNED} was made by another version of this software: publish it anew") from None
    if release.version != version:
        raise ReleaseError(f"{folder} holds version {release.version}: a folder was renamed. Restore its name")
    try:
        book = load_rulebook(files)
    except RuleBookError as error:
        raise ReleaseError(f"version {version} does not load with this software: {error}") from error
    if book.hash != release.rulebook:
        raise ReleaseError(
            f"version {version} reads as another rule book than the one that was signed: publish it anew"
        )
    return Published(release, files, book)


def _verified(folder: Path, keys: Mapping[str, OKPKey]) -> Mapping[str, Any]:
    """What was signed. A key counts by its thumbprint, never by a name that the file states."""
    try:
        signed = (folder / SIGNED).read_bytes()[:_MOST].strip()
        for key in keys.values():
            try:
                manifest = json.loads(jws.deserialize_compact(signed, key, algorithms=[_ALGORITHM]).payload)
            except JoseError:
                continue
            if isinstance(manifest, dict) and manifest.get("key") == key.thumbprint():
                return manifest
    except (OSError, ValueError):
        raise ReleaseError(
            f"{folder / SIGNED} cannot be read as a signed release: restore it, or publish anew"
        ) from None
    raise ReleaseError(
        f"{folder} is signed by no key that is known here: list its public key, or publish it with a key that is listed"
    )


def _stated(folder: Path) -> Mapping[str, Any]:
    """What the signed file says, whoever signed it."""
    try:
        manifest = json.loads(jws.extract_compact((folder / SIGNED).read_bytes()[:_MOST].strip()).payload)
    except (OSError, ValueError, JoseError):
        manifest = None
    if not isinstance(manifest, dict):
        raise ReleaseError(f"{folder / SIGNED} cannot be read as a signed release: restore it, or publish anew")
    return manifest


def _files(folder: Path, manifest: Mapping[str, Any]) -> RuleFiles:
    found: dict[str, RuleFile] = {}
    for entry in manifest["files"]:
        name = str(entry["name"])
        over = None
        if "overlay" in entry:
            path = _as_signed(folder / "overlay" / name, str(entry["overlay"]))
            over = RuleFile(name, path, f"overlay/{name}", own=True)
        path = _as_signed(folder / "rules" / name, str(entry["rules"]))
        found[name] = RuleFile(name, path, name, own=bool(entry["own"]), over=over)
    made_for = {str(name): str(digest) for name, digest in manifest["made_for"].items()}
    return RuleFiles(folder, found, str(manifest["site"]), made_for)


def _as_signed(path: Path, digest: str) -> Path:
    try:
        known = hashlib.sha256(path.read_bytes()).hexdigest() == digest
    except OSError:
        known = False
    if not known:
        raise ReleaseError(
            f"{path} is not as it was signed: it was edited, or is missing. Restore it from where it was made"
        )
    return path


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes()[:_MOST])
    except OSError as error:
        raise ReleaseError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError:
        raise ReleaseError(f"{path} is no JSON: was another file named?") from None


__all__: Sequence[str] = (
    "Published", "Release", "ReleaseError", "current", "new_key", "put_into_use", "read_current", "read_keys", "read_release", "signing_key",
    "versions", "write_release",
)  # fmt: skip
