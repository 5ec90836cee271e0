"""Who may see the pages: sign-in, sessions, roles, and the gate through which every page goes. docs/sign-in.md tells how to run it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from fastapi import FastAPI

from cds.record.accounts import Accounts
from cds.record.recorder import Recorder
from cds.record.sessions import Sessions
from cds.service.access.browser import Browser
from cds.service.access.gate import Gate
from cds.service.access.sign_in import SignIn
from cds.settings import Settings

__all__ = ["mount"]


def mount(app: FastAPI, settings: Settings, recorder: Recorder, clock: Callable[[], datetime]) -> Gate:
    """Add the pages for signing in and out to the service; the gate to which other pages are added before its router is."""
    accounts = Accounts(recorder.database, recorder.checkpoints, clock)
    sessions = Sessions(
        accounts, idle=timedelta(minutes=settings.session_idle_minutes), longest=timedelta(hours=settings.session_hours)
    )
    gate = Gate(sessions, accounts.trail, settings.tenant, Browser(settings))
    SignIn(gate, local=True).mount(app)
    return gate
