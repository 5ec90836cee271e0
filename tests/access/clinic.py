"""A house, and a provider that vouches for people in it: what the tests of OpenID Connect begin with."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from cds.record.database import Database
from tests.access.people import Browser, House
from tests.access.vouching import provider_file, vouching

FILE = """
local: {local}
providers:
  - name: clinic
    label: Account of the <clinic>
    issuer: {base}
    client: exowatch
    {secret}
    roles: {{claim: groups, map: {{board: reviewer, chairs: [chair, reader], keys: admin}}}}
    {more}
"""


class Clinic:
    """A house, and who vouches for people in it."""

    def __init__(self, database: Database, folder: Path, stack: ExitStack, **options: Any):
        self.house: House
        self.voucher = stack.enter_context(vouching(lambda: self.house.now))
        self.voucher.public = options.get("public", False)
        secret = "" if self.voucher.public else "secret_file: clinic.secret"
        text = FILE.format(
            base=self.voucher.base, local=options.get("local", "true"), secret=secret, more=options.get("more", "")
        )
        self.house = House(database, ways=provider_file(folder, text)).open()

    def comes(self, browser: Browser, wanted: str = "") -> Any:
        """The answer to a browser that comes back from the provider."""
        return browser.follows(self.leaves(browser, wanted))

    def leaves(self, browser: Browser, wanted: str = "") -> Any:
        """Where the provider sends a browser back to."""
        out = browser.get("/sign-in/clinic" + (f"?next={wanted}" if wanted else ""))
        assert out.status_code == 303, out.text
        out.headers["Location"] = self.voucher.goes(out.headers["Location"])
        return out
