"""Pages about accounts: the list that an admin keeps, and one's own password."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import Response

from cds.record.accounts import AccountRefused, Accounts, NoSuchAccount, spelled
from cds.record.passwords import WeakPassword, generated
from cds.record.sessions import SignInRefused
from cds.service.access.browser import field
from cds.service.access.gate import OWN_ACCOUNT, SESSION, Gate, redirect
from cds.service.access.roles import ROLES, Act
from cds.service.access.visitor import Visit
from cds.service.pages.rendering import page

_MADE, _CHANGED, _RENEWED = ("add", "password"), ("roles", "disable", "enable"), "renewed"


class AccountPages:
    """The accounts of one tenant."""

    def __init__(self, gate: Gate, accounts: Accounts):
        self._gate, self._accounts = gate, accounts
        gate.add("/accounts", "GET", Act.KEEP_ACCOUNTS, self._list)
        gate.add("/accounts", "POST", Act.KEEP_ACCOUNTS, self._changed)
        gate.add(OWN_ACCOUNT, "GET", Act.KEEP_OWN_ACCOUNT, self._own)
        gate.add(OWN_ACCOUNT, "POST", Act.KEEP_OWN_ACCOUNT, self._renewed)

    def _list(self, visit: Visit) -> Response:
        done, _, name = visit.done.partition(":")
        return self._shown(visit, done=done if done in _CHANGED else "", name=name)

    def _changed(self, visit: Visit) -> Response:
        """What an admin asked for; a password that was made is shown in the answer, and nowhere again."""
        what, name = field(visit.form, "do"), spelled(field(visit.form, "name"))
        tenant, by = visit.visitor.tenant, visit.visitor.name
        try:
            if what in _MADE:
                return self._shown(visit, done=what, name=name, password=self._made(visit, what, name))
            if name == by:
                raise AccountRefused("This is your own account: somebody else who keeps the accounts has to change it")
            if what == "roles":
                self._accounts.set_roles(tenant, name, _roles(visit), by)
            elif what == "disable":
                self._accounts.disable(tenant, name, by)
            elif what == "enable":
                self._accounts.enable(tenant, name, by)
            else:
                raise AccountRefused("The form does not say what is to be done: load the page again")
        except (AccountRefused, NoSuchAccount) as error:
            return self._shown(visit, wrong=str(error))
        visit.done = f"{what}:{name}"
        return redirect("/accounts")

    def _made(self, visit: Visit, what: str, name: str) -> str:
        """A new password, with a new account if there is to be one. Raises `AccountRefused`, `NoSuchAccount`."""
        tenant, by, password = visit.visitor.tenant, visit.visitor.name, generated()
        if what == "add":
            shown = field(visit.form, "shown")
            self._accounts.add(tenant, name, password, _roles(visit), by, shown=shown, one_time=True)
        else:
            self._accounts.set_password(tenant, name, password, by, one_time=True)
        return password

    def _shown(self, visit: Visit, *, wrong: str = "", done: str = "", name: str = "", password: str = "") -> Response:
        return page(
            "accounts", HTTPStatus.CONFLICT if wrong else HTTPStatus.OK, visitor=visit.visitor, here="accounts", roles=ROLES,
            accounts=self._accounts.listed(visit.visitor.tenant), now=self._accounts.instant(), wrong=wrong, done=done,
            whom=name, password=password, form=visit.form if wrong else {},
        )  # fmt: skip

    # one's own ---------------------------------------------------------------------------------------------------------

    def _own(self, visit: Visit) -> Response:
        return self._own_shown(visit)

    def _own_shown(self, visit: Visit, wrong: str = "") -> Response:
        account = self._accounts.one(visit.visitor.tenant, visit.visitor.account)
        return page(
            "account", HTTPStatus.CONFLICT if wrong else HTTPStatus.OK, visitor=visit.visitor, account=account, wrong=wrong,
            done=visit.done == _RENEWED,
        )  # fmt: skip

    def _renewed(self, visit: Visit) -> Response:
        """Another password; every browser in which they were signed in is so no more, but for this one."""
        old, new, again = (field(visit.form, name) for name in ("old", "new", "again"))
        if new != again:
            return self._own_shown(visit, "The new password was written in two ways: write it twice alike.")
        try:
            account = self._accounts.one(visit.visitor.tenant, visit.visitor.account)
            token = self._gate.sessions.change_password(account, old, new)
        except WeakPassword as error:
            return self._own_shown(visit, str(error))
        except SignInRefused:
            return self._own_shown(
                visit, "The present password is not that. After several wrong ones it is taken no more for a while."
            )
        visit.done = _RENEWED
        response = redirect(OWN_ACCOUNT)
        self._gate.browser.give(response, SESSION, token)
        return response


def _roles(visit: Visit) -> list[str]:
    return [one for one in visit.form.get("role", []) if one in ROLES]
