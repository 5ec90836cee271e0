"""The commands about exports of whole populations (FHIR Bulk Data)."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.filesize import decimal

from cds import terminal
from cds.addresses import base, origin
from cds.cli.options import AsJson
from cds.counting import counted
from cds.errors import InputError

if TYPE_CHECKING:  # the client is loaded by the commands that use it: every other one would wait for it
    from cds.exchange import Exchange
    from cds.exchange.bulk import Bulk
    from cds.exchange.export import Fetched

bulk_app = typer.Typer(no_args_is_help=True, help="Exports of whole populations (FHIR Bulk Data).")

_TYPE = re.compile(r"[A-Z][A-Za-z]{1,63}")
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_NEARBY = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
_INTERRUPTED = 130


@bulk_app.command("fetch")
def bulk_fetch(
    server: Annotated[str, typer.Argument(metavar="BASE", help="Base URL of the FHIR server.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the export; that of an earlier call is gone on with.")],
    group: Annotated[str, typer.Option("--group", metavar="ID", help="Of the members of this Group.")] = "",
    patients: Annotated[bool, typer.Option("--patients", help="Of all patients; this is the default.")] = False,
    system: Annotated[bool, typer.Option("--system", help="Of the whole server.")] = False,
    types: Annotated[
        list[str] | None,
        typer.Option(
            "--type",
            help="Types of resources, with commas or repeated; default: those that a chart is read from, from Condition to Specimen.",
        ),
    ] = None,
    since: Annotated[
        str, typer.Option("--since", metavar="INSTANT", help="Only what changed since; such as 2026-11-01T00:00:00Z.")
    ] = "",
    client: Annotated[
        Path | None,
        typer.Option(
            "--client",
            help="File of clients with a `backend` for this server; default: EXOWATCH_CLIENTS_FILE. Without any, the server is asked without a token.",
        ),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Remove what an earlier call has brought, and have the export made anew.")
    ] = False,
    ending: Annotated[
        bool, typer.Option("--cancel", help="End the running job on the server, and fetch nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Fetch a Bulk Data export into a folder; called again, it goes on where it was stopped.

    Exit code 1 if not everything is there, or the server says that it could not export all; 130 if it was interrupted.
    """
    from cds.exchange.bulk import TYPES, Stopped, Wanted
    from cds.exchange.export import cancel, fetch

    wanted = Wanted(
        _server(server), *_level(group, patients=patients, system=system), _types(types or ()) or TYPES, _since(since)
    )
    if restart and ending:
        raise InputError("--restart starts a job and --cancel ends it: name one of them")
    with terminal.transfer("fetching") as watching:
        exchange, bulk = _connected(wanted.server, client, watching.tell)
        try:
            if ending:
                done = cancel(wanted, out, bulk)
                typer.echo(json.dumps({"cancelled": True, "told": done}) if as_json else done)
                return
            found = fetch(wanted, out, bulk, watching, restart=restart)
        except Stopped as error:
            if as_json:
                typer.echo(json.dumps({"complete": False, "stopped": str(error)}))
            terminal.say(str(error), error=True)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            terminal.say("Stopped. What is there stays, and the same command goes on", error=True)
            raise typer.Exit(_INTERRUPTED) from None
        finally:
            exchange.close()
    (_print_json if as_json else _print)(found)
    raise typer.Exit(0 if found.whole and not found.errors.severe else 1)


def _connected(server: str, client: Path | None, tell: Callable[[str], None]) -> tuple[Exchange, Bulk]:
    """The way to the server, as the file of clients has it; without one without a token, and to this server alone."""
    from cds.exchange import Exchange, Permit
    from cds.exchange.backend import Backend
    from cds.exchange.bulk import Bulk
    from cds.exchange.network import origin_of
    from cds.exchange.pace import Pace
    from cds.service.clients import load_clients
    from cds.settings import load_settings

    settings = load_settings()
    path = client or settings.clients_file
    if path is None:
        near = server.startswith("http://")
        permit = Permit(frozenset({origin(server)}), _NEARBY, plain=near, public=not near)
        if near:
            permit = replace(permit, outside="without a file of clients, http is for servers on this machine only")
        exchange = Exchange(permit)
        return exchange, Bulk(exchange, None, permit.origins, Pace(), tell)
    clients = load_clients(path, open_mode=settings.open_mode).values()
    known = {one.backend.server: one for one in clients if one.backend is not None}
    if server not in known:
        raise InputError(
            f"{path} says of no client with a `backend` that its `server` is {server}. "
            + (
                f"There is: {', '.join(sorted(known))}"
                if known
                else "No client there has a `backend`; docs/screening.md shows one"
            )
        )
    registration, fhir = known[server].backend, known[server].fhir
    assert registration is not None  # those without are not among them
    files = registration.files | {origin_of(registration.server, plain=fhir.plain)}
    asked = files | {origin_of(registration.token, plain=fhir.plain)}
    exchange = Exchange(Permit(asked, fhir.networks, fhir.authority, plain=fhir.plain))
    return exchange, Bulk(exchange, Backend(registration, exchange), files, Pace(), tell)


def _server(address: str) -> str:
    try:
        return base(address)
    except ValueError as error:
        raise InputError(
            f"'{address}' is no base URL of a FHIR server: {error}. Such as https://ehr.example/fhir"
        ) from None


def _level(group: str, *, patients: bool, system: bool) -> tuple[Literal["patients", "group", "system"], str]:
    if bool(group) + patients + system > 1:
        raise InputError("--group, --patients and --system exclude each other: name one of them")
    if group and not _ID.fullmatch(group):
        raise InputError(f"'{group}' is no id of a Group: letters, digits, '-' and '.', at most 64")
    return ("group", group) if group else ("system" if system else "patients", "")


def _types(stated: list[str] | tuple[()]) -> tuple[str, ...]:
    names = [name.strip() for one in stated for name in one.split(",")]
    for name in names:
        if not _TYPE.fullmatch(name):
            raise InputError(f"--type: '{name}' is no type of resources; such as Observation,Patient")
    return tuple(sorted(set(names)))


def _since(stated: str) -> str:
    from cds.exchange.bulk import is_instant

    if stated and not is_instant(stated):
        raise InputError(f"--since: '{stated}' is no instant; such as 2026-11-01T00:00:00Z, with the offset from UTC")
    return stated


def _print_json(found: Fetched) -> None:
    typer.echo(
        json.dumps(
            {
                "complete": found.whole,
                "transactionTime": found.transaction_time or None,
                "resources": found.resources,
                "files": found.files,
                "bytes": found.bytes,
                "failed": [{"file": name, "reason": reason} for name, reason in found.failed],
                "unproved": found.unproved,
                "missing": found.missing,
                "deleted": found.deleted,
                "serverErrors": found.errors.severe,
                "serverMessages": len(found.errors.issues),
                "notes": found.notes,
            }
        )
    )


def _print(found: Fetched) -> None:
    terminal.table(["type", "resources"], [(kind, f"{count:,}") for kind, count in found.resources.items()])
    terminal.say(f"{counted(found.files, 'file')}, {decimal(found.bytes)}")
    if found.missing:
        terminal.say(f"Asked for, and nothing of it in the export: {', '.join(found.missing)}")
    if found.deleted:
        terminal.say(f"The server says what was deleted there: {counted(found.deleted, 'file')} in deleted/")
    if found.errors.issues:
        terminal.say(
            f"The server says of {counted(found.errors.severe, 'error')} and {counted(len(found.errors.issues) - found.errors.severe, 'other matter')}, "
            f"in errors/: {found.errors}"
        )
    if found.unproved:
        terminal.say(
            f"The server said neither length nor number of resources of {', '.join(found.unproved)}: nothing shows that it is whole"
        )
    for note in found.notes:
        terminal.say(f"{note[:1].upper()}{note[1:]}")
    for name, reason in found.failed:
        terminal.say(f"{name}: {reason}", error=True)
    if found.failed:
        terminal.say(
            f"Not whole: {counted(len(found.failed), 'file')} missing. What is here stays; the same command tries them again",
            error=True,
        )
    elif found.transaction_time:
        terminal.say(f"Whole, as of {found.transaction_time}: the next `--since` (into another folder)")
    else:
        terminal.say("Whole")
