"""Settings of an installation: environment variables with the prefix `EXOWATCH_`, or a `.env` file of them.

An unknown variable with the prefix is refused, so that a misspelt setting never passes for a default.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from cds.advice.advisory import About
from cds.calendar import zone_named
from cds.errors import ExowatchError

PREFIX = "EXOWATCH_"


class SettingsError(ExowatchError):
    """Settings that cannot be used; names each variable, what is wrong with it, and what it should be."""


def _address(value: str) -> str:
    if value and not value.startswith(("https://", "http://")):
        raise ValueError("write an absolute address, such as https://exowatch.example/fhir")
    return value.rstrip("/")


def _zone(value: str) -> str:
    if value:
        zone_named(value)
    return value


Zone = Annotated[str, AfterValidator(_zone)]
Address = Annotated[str, AfterValidator(_address)]


class Settings(BaseSettings):
    """Every setting of the service, with its default; see docs/integrators.md."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    canonical: Address = Field(
        default="https://exowatch.example/fhir", min_length=1, description="base of all canonical URLs"
    )
    public_base_url: Address = Field(default="", description="where the site publishes its rules; cards link there")
    rules_dir: Path | None = Field(default=None, description="a folder of rules; default: the shipped ones")
    releases_dir: Path | None = Field(
        default=None, description="published rule books, of which the one in use is taken over without a restart"
    )
    release_keys: Path | None = Field(default=None, description="public keys of who may publish them, as JWK")
    candidate_rules_dir: Path | None = Field(
        default=None, description="rules that may come next: the board shows what they would say"
    )
    open_mode: bool = Field(default=False, description="answer anybody, on the loopback address only; for development")
    clients_file: Path | None = Field(default=None, description="the clients that may call, and their keys")
    discovery_needs_token: bool = Field(default=False, description="whether the list of services needs a token too")
    tls_certificate: Path | None = Field(default=None, description="certificates of the service itself, as PEM")
    tls_key: Path | None = Field(default=None, description="their private key, as PEM")
    mllp_clients: Path | None = Field(
        default=None,
        description="certificates that sign those of senders over MLLP, as PEM; without it any sender is answered",
    )
    behind_proxy: bool = Field(
        default=False,
        description="TLS ends at a proxy that nobody can go around, and whose X-Forwarded-For is believed",
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="browser origins that may call, separated by commas"
    )
    database_url: str = Field(
        default="sqlite:///exowatch.sqlite", description="where advice is recorded: SQLite, or PostgreSQL"
    )
    checkpoint_file: Path | None = Field(
        default=None, description="checkpoints of the audit, to be kept where the database's users cannot write"
    )
    time_zone: Zone = Field(
        default="",
        description="time zone of the place, such as Europe/Berlin, whose days are shown and counted; default: the machine's",
    )
    tenant: str = Field(default="default", max_length=64, description="whose patients these are, where several share")
    sign_in_file: Path | None = Field(
        default=None, description="who else vouches for people that sign in; without it accounts have passwords of ours"
    )
    session_idle_minutes: int = Field(
        default=30, gt=0, le=1440, description="without a request a session ends after it"
    )
    session_hours: int = Field(default=12, gt=0, le=168, description="after it a session ends anyway")
    deadline_ms: int = Field(default=400, gt=0, description="longest that a call waits for the database")
    fetch_ms: int = Field(default=450, gt=0, description="longest that a call waits for the client's FHIR server")
    drain_seconds: int = Field(
        default=0,
        ge=0,
        le=600,
        description="how long calls are taken still after SIGTERM, while /ready says that it leaves",
    )
    max_waiting: int = Field(default=32, gt=0, description="most calls at one time; more are refused with 503")
    max_body_bytes: int = Field(default=8_000_000, gt=0, description="largest request that is read")
    max_resources: int = Field(default=20_000, gt=0, description="most resources that one request may hold")
    developer: str = Field(default="", description="who develops and maintains the rules in use, as shown on cards")
    funding: str = Field(default="", description="who pays for it, as shown on cards")
    contact: str = Field(default="", description="whom users may ask, as shown on cards")
    log_level: str = Field(
        default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="least level that is logged"
    )

    @cached_property
    def origins(self) -> tuple[str, ...]:
        return tuple(origin.strip().rstrip("/") for origin in self.allowed_origins if origin.strip())

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("set EXOWATCH_TLS_CERTIFICATE and EXOWATCH_TLS_KEY, both or neither")
        if (self.releases_dir is None) != (self.release_keys is None):
            raise ValueError("set EXOWATCH_RELEASES_DIR and EXOWATCH_RELEASE_KEYS, both or neither")
        if self.releases_dir is not None and self.rules_dir is not None:
            raise ValueError("rules come from EXOWATCH_RELEASES_DIR or from EXOWATCH_RULES_DIR, not from both")
        return self

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints of the audit are written: beside an embedded database, unless the site says where."""
        if self.checkpoint_file is not None:
            return self.checkpoint_file
        _, embedded, file = self.database_url.partition("sqlite:///")
        return Path(f"{file if embedded else 'exowatch'}.checkpoints.jsonl")

    def about(self) -> About:
        """What this site states of itself on every card."""
        return About(developer=self.developer, funding=self.funding, contact=self.contact, software=software())


def load_settings(environment: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """The settings of this process, `overrides` (from a command line) first. Raises `SettingsError`."""
    environment = os.environ if environment is None else environment
    stated: dict[str, Any] = {}
    unknown: list[str] = []
    for name, value in environment.items():
        if not name.upper().startswith(PREFIX):
            continue
        key = name[len(PREFIX) :].lower()
        if key not in Settings.model_fields:
            close = difflib.get_close_matches(key, Settings.model_fields, n=1)
            unknown.append(f"{name} is no setting" + (f"; did you mean {PREFIX}{close[0].upper()}?" if close else ""))
        else:
            stated[key] = tuple(value.split(",")) if key == "allowed_origins" else value
    if unknown:
        raise SettingsError("\n".join(unknown))
    stated |= {key: value for key, value in overrides.items() if value is not None}
    try:
        return Settings(**stated)
    except ValidationError as error:
        problems = (
            f"{PREFIX}{'_'.join(map(str, problem['loc'])).upper()}: {problem['msg']}" for problem in error.errors()
        )
        raise SettingsError("\n".join(problems)) from error


def software() -> str:
    """Name and version of this software, as cards state it."""
    try:
        return f"Exowatch {version('exowatch')}"
    except PackageNotFoundError:
        return "Exowatch, version of a checkout"
