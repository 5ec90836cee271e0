"""The commands about people who sign in to the pages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from cds import terminal
from cds.cli.options import AsJson
from cds.cli.record import opened
from cds.errors import InputError
from cds.record.accounts import TERMINAL, Account, Accounts
from cds.record.audit import Checkpoints
from cds.record.passwords import generated
from cds.service.access.roles import ROLES

accounts_app = typer.Typer(no_args_is_help=True, help="People who sign in: their accounts, roles and passwords.")

Name = Annotated[str, typer.Argument(help="The name with which they sign in.")]
Generate = Annotated[
    bool, typer.Option("--generate", help="Make a password, print it once; it has to be changed at the first sign-in.")
]


@contextmanager
def _accounts() -> Iterator[tuple[Accounts, str]]:
    """The accounts of this installation, and its tenant."""
    with opened() as (database, settings):
        yield Accounts(database, Checkpoints(settings.checkpoints)), settings.tenant


@accounts_app.command("add")
def add(
    name: Name,
    role: Annotated[list[str], typer.Option("--role", help=f"One of {', '.join(ROLES)}; may be repeated.")],
    shown: Annotated[str, typer.Option("--shown", help="How people call them; default: the name.")] = "",
    generate: Generate = False,
) -> None:
    """Add an account. Asks for its password twice, without showing it."""
    roles = _known(role)
    with _accounts() as (accounts, tenant):
        password = _password(generate)
        made = accounts.add(tenant, name, password, roles, TERMINAL, shown=shown, one_time=generate)
        terminal.say(f"{made.name}: {', '.join(sorted(made.roles))}")
        _tell(password, generate)


@accounts_app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the accounts, by name."""
    with _accounts() as (accounts, tenant):
        found, now = accounts.listed(tenant), accounts.instant()
    if as_json:
        typer.echo(json.dumps([_plain(one, now) for one in found], ensure_ascii=False))
        return
    terminal.table(
        ["name", "shown as", "roles", "signs in with", "state"],
        [
            tuple(
                terminal.as_it_is(cell)
                for cell in (
                    one.name,
                    one.shown,
                    ", ".join(sorted(one.roles)),
                    one.issuer or "a password",
                    _state(one, now),
                )
            )
            for one in found
        ],
    )
    if not found:
        terminal.say("there is no account: exowatch accounts add NAME --role admin", error=True)


@accounts_app.command("roles")
def roles(
    name: Name, role: Annotated[list[str], typer.Argument(help=f"All that they are to have: {', '.join(ROLES)}.")]
) -> None:
    """Give an account exactly these roles; it is signed out everywhere."""
    wanted = _known(role)
    _change(lambda accounts, tenant: accounts.set_roles(tenant, name, wanted, TERMINAL))
    terminal.say(f"{name}: {', '.join(sorted(wanted))}; signed out everywhere")


@accounts_app.command("password")
def password(name: Name, generate: Generate = False) -> None:
    """Give an account another password; it is unlocked, and signed out everywhere."""
    word = _password(generate)
    _change(lambda accounts, tenant: accounts.set_password(tenant, name, word, TERMINAL, one_time=generate))
    terminal.say(f"{name}: another password; signed out everywhere")
    _tell(word, generate)


@accounts_app.command("disable")
def disable(name: Name) -> None:
    """Let an account in no more; it is signed out everywhere."""
    _change(lambda accounts, tenant: accounts.disable(tenant, name, TERMINAL))
    terminal.say(f"{name}: let in no more")


@accounts_app.command("enable")
def enable(name: Name) -> None:
    """Let an account in again, also one that wrong passwords locked."""
    _change(lambda accounts, tenant: accounts.enable(tenant, name, TERMINAL))
    terminal.say(f"{name}: let in again")


def _change(change: Callable[[Accounts, str], None]) -> None:
    with _accounts() as (accounts, tenant):
        change(accounts, tenant)


def _known(roles: list[str]) -> list[str]:
    """The roles. Raises `InputError` for a word that is none."""
    for one in roles:
        if one not in ROLES:
            raise InputError(f"'{one}' is no role; roles are {', '.join(ROLES)}")
    return sorted(set(roles))


def _password(generate: bool) -> str:
    if generate:
        return generated()
    word: str = typer.prompt("Password", hide_input=True, confirmation_prompt="The same again")
    return word


def _tell(word: str, generate: bool) -> None:
    if generate:
        terminal.say(f"password: {word}")
        terminal.say("It is printed nowhere again, and has to be changed at the first sign-in.", error=True)


def _state(one: Account, now: str) -> str:
    if one.disabled:
        return "disabled"
    if one.locked_until > now:
        return f"locked until {one.locked_until[:16]}Z"
    return "password to be changed" if one.one_time else "open"


def _plain(one: Account, now: str) -> dict[str, object]:
    return {
        "name": one.name, "shown": one.shown, "roles": sorted(one.roles), "issuer": one.issuer, "state": _state(one, now),
        "created": one.created, "changed": one.changed,
    }  # fmt: skip
