"""Puts the pages for signing in and out into the service, and the gate behind which all other pages stand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from fastapi import FastAPI

from cds.record.accounts import Accounts
from cds.record.recorder import Recorder
from cds.record.sessions import Sessions
from cds.record.spelling import respelt
from cds.service.access.account_pages import AccountPages
from cds.service.access.audit_page import AuditPage
from cds.service.access.browser import Browser
from cds.service.access.gate import Gate
from cds.service.access.oidc import OpenIdConnect
from cds.service.access.providers import load_ways
from cds.service.access.relying import Relying
from cds.service.access.sign_in import SignIn
from cds.service.access.smart import SmartLaunch
from cds.settings import Settings

__all__ = ["mount"]


def mount(app: FastAPI, settings: Settings, recorder: Recorder, clock: Callable[[], datetime]) -> Gate:
    """Add the pages for signing in and out to the service; the gate to which other pages are added before its router is.

    Raises `SignInFileError`.
    """
    accounts = Accounts(recorder.database, recorder.checkpoints, clock)
    sessions = Sessions(
        accounts, idle=timedelta(minutes=settings.session_idle_minutes), longest=timedelta(hours=settings.session_hours)
    )
    gate = Gate(sessions, accounts.trail, settings.tenant, Browser(settings), clock)
    ways = load_ways(settings.sign_in_file, open_mode=settings.open_mode)

    def seconds() -> float:
        return clock().timestamp()

    SignIn(gate, seconds, local=ways.local, providers=[(one.key, one.label) for one in ways.providers]).mount(app)
    if ways.providers:
        OpenIdConnect(gate, {one.key: Relying(one, seconds) for one in ways.providers}).mount(app)
    if ways.ehrs:
        gate.launches = frozenset(respelt(one.iss) for one in ways.ehrs)
        SmartLaunch(gate, {one.iss: Relying(one, seconds) for one in ways.ehrs}, recorder.database).mount(app)
    AccountPages(gate, accounts)
    AuditPage(gate, accounts)
    return gate
