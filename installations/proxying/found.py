"""What is stored for an installation that is called: one narrow question to the database.

The question is put together once; what it gives are plain columns. A row of the four tables, put together
anew for each call, would take longer than the rest of what we do.
"""

from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, lru_cache
from string import Template
from typing import Any
from uuid import UUID

from django.db import connection

from connectors import releases
from connectors.manifest import AuthMethod, Manifest
from connectors.manifest.vocabulary import names_in
from connectors.models import ConnectorSettings
from connectors.registry import Connector
from console.clock import Now
from console.problems import ProblemError
from console.sealed import Sealed
from console.tenancy import Principal
from installations import standing, tokens
from installations.auth import Token
from installations.models import CredentialVersion, Installation
from installations.values import fill_url, paths_of

_COLUMNS = {
    "account_id": "account_id",
    "connector": "connector",
    "release_id": "release_id",
    "auth_method": "auth_method",
    "disabled_at": "disabled_at",
    "discovered": "discovered",
    "sealed_values": "values",
    "is_active": "partner__is_active",
    "problem": "credential__problem",
    "version_id": "credential__current_id",
    "sealed_token": "credential__current__token",
    "created_at": "credential__current__created_at",
    "expires_at": "credential__current__expires_at",
}


@dataclass
class Plan:
    """Of one way to connect with one release of a connector: what every call needs, worked out once."""

    manifest: Manifest
    method: AuthMethod
    # The base URL where nothing has to be filled in.
    base_url: str
    # What a call fills in.
    names: set[str]
    # Whether the partner may store any of it.
    needs_settings: bool


@lru_cache(maxsize=2000)
def _plan(connector: Connector, auth_method: str) -> Plan:
    manifest = connector.manifest
    if auth_method not in [method.key for method in manifest.auth_methods]:
        raise ProblemError("connector_gone")
    if not manifest.base_url:
        raise ProblemError("not_http")
    method = manifest.method(auth_method)
    names = names_in(*_templates(method), manifest.base_url)
    partners = [prop for prop in manifest.properties_for(auth_method) if prop in manifest.partner_properties]
    return Plan(
        manifest,
        method,
        "" if Template(manifest.base_url).get_identifiers() else fill_url(manifest.base_url, {}),
        names,
        # A property may be made of others, or be seen only with some value of another.
        needs_settings=bool(partners),
    )


def _templates(method: AuthMethod) -> list[str]:
    """What a signature fills in."""
    names = ("username", "password", "access_key_id", "secret_access_key")
    if method.type not in ("http_basic", "aws_signature"):
        names = ("consumer_key", "consumer_secret", "token", "token_secret", "realm")
    if method.is_oauth:
        names = ()
    return [*method.inject.templates, *(getattr(method, name, "") for name in names)]


@dataclass
class Found:
    """An installation with a token that may be used now."""

    id: UUID
    partner_id: UUID
    plan: Plan
    token: Token
    version_id: UUID
    # When the token was obtained, and the database's time.
    created_at: datetime
    clock: datetime
    connector: str
    auth_method: str
    account_id: UUID
    discovered: dict[str, str]
    definition: Connector = field(repr=False)
    _sealed_values: Sealed | None = field(default=None, repr=False)

    @property
    def values(self) -> dict[str, str] | None:
        """What was asked at the installation."""
        return self._sealed_values and Installation._meta.get_field("values").open(
            self._sealed_values, partner_id=self.partner_id, pk=self.id
        )

    def filled(self) -> tuple[str, dict[str, str]]:
        """The base URL, and what fills the connector's templates. Raises values.BadValue."""
        plan, known = self.plan, self.token.placeholders
        # Most fill in nothing but what the credential itself holds.
        if not plan.names <= known.keys():
            settings = ConnectorSettings(partner_id=self.partner_id, connector=self.connector)
            if plan.needs_settings:
                settings = ConnectorSettings.objects.for_connector(self.partner_id, self.connector)
            known = {**standing.values_of(self, settings, self.token), **known}
        return (
            plan.base_url or fill_url(plan.manifest.base_url, known, paths=paths_of(plan.manifest)),
            known,
        )

    def renewed(self) -> "Found | None":
        """The same with the token that takes the place of one that the provider has refused; None: none does.

        One that is new was not refused because of its age.
        """
        if (self.clock - self.created_at).total_seconds() < 60:
            return None
        try:
            usable = tokens.usable(self.id, rejected=self.version_id)
        except ProblemError:
            return None
        if usable.version.pk == self.version_id:
            return None
        self.token, self.version_id = usable.token, usable.version.pk
        return self


def find(principal: Principal, installation_id: UUID) -> Found:
    """Raises ProblemError: not_found, not_connected, not_http, and whatever tokens.usable raises."""
    row = None if principal.is_customer else _read(principal, installation_id)
    if row is None:
        raise ProblemError("not_found")
    if row["version_id"] is None:
        raise ProblemError("installation_disabled" if row["disabled_at"] else "not_connected")
    definition = releases.find(row["connector"], row["release_id"])
    if definition is None:
        raise ProblemError("connector_gone")
    version_id, created_at = row["version_id"], row["created_at"]
    ends_soon = tokens.ends_soon(created_at, row["expires_at"], row["clock"])
    if not row["is_active"] or row["disabled_at"] or row["problem"] or ends_soon:
        # Renewed, or refused with the right words.
        usable = tokens.usable(installation_id)
        token, version_id, created_at = usable.token, usable.version.pk, usable.version.created_at
    else:
        column = CredentialVersion._meta.get_field("token")
        opened = column.open(row["sealed_token"], partner_id=principal.partner_id, pk=version_id)
        token = Token.from_json(opened)
    return Found(
        id=installation_id,
        partner_id=principal.partner_id,
        plan=_plan(definition, row["auth_method"]),
        token=token,
        version_id=version_id,
        created_at=created_at,
        clock=row["clock"],
        connector=row["connector"],
        auth_method=row["auth_method"],
        account_id=row["account_id"],
        discovered=row["discovered"],
        definition=definition,
        _sealed_values=row["sealed_values"],
    )


# ── the question ────────────────────────────────────────────────────────────────────────────────

_ANYBODY, _ANY = UUID(int=1), UUID(int=2)


class _Question:
    """The statement for one installation of one partner, and how its columns become values."""

    def __init__(self):
        rows = Installation.objects.visible_to(Principal(partner_id=_ANYBODY, actor=""))
        rows = rows.filter(pk=_ANY).order_by().annotate(clock=Now())
        query = rows.values_list(*_COLUMNS.values(), "clock").query
        self.compiler = query.get_compiler(connection=connection)
        self.sql, self.params = self.compiler.as_sql()
        columns = [column for column, _, _ in self.compiler.select]
        self.converters = self.compiler.get_converters(columns)
        self.places = [self._adapted(_ANYBODY), self._adapted(_ANY)]

    def _adapted(self, key: UUID) -> Any:
        return Installation._meta.pk.get_db_prep_value(key, connection)

    def ask(self, partner_id: UUID, installation_id: UUID) -> dict[str, Any] | None:
        instead = dict(
            zip(self.places, (self._adapted(partner_id), self._adapted(installation_id)), strict=True)
        )
        with connection.cursor() as cursor:
            cursor.execute(self.sql, [instead.get(param, param) for param in self.params])
            row = cursor.fetchone()
        if row is None:
            return None
        (converted,) = self.compiler.apply_converters([row], self.converters)
        return dict(zip((*_COLUMNS, "clock"), converted, strict=True))


# Of its connection only what is alike on all of them is used.
_question = cache(_Question)


def _read(principal: Principal, installation_id: UUID) -> dict[str, Any] | None:
    return _question().ask(principal.partner_id, installation_id)
