"""What is stored for an installation that is called, and how its connector wants to be called."""

from dataclasses import dataclass, replace
from functools import lru_cache
from string import Template
from uuid import UUID

from connectors.manifest import AuthMethod, Manifest
from connectors.manifest.vocabulary import names_in
from connectors.models import ConnectorSettings
from connectors.registry import Connector
from console.problems import ProblemError
from console.tenancy import Principal
from installations import fresh, standing, tokens
from installations.auth import Token
from installations.values import fill_url, paths_of


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
    """An installation that is called, and how its connector wants to be called."""

    fresh: fresh.Fresh
    plan: Plan

    @property
    def token(self) -> Token:
        return self.fresh.token

    def filled(self) -> tuple[str, dict[str, str]]:
        """The base URL, and what fills the connector's templates. Raises values.BadValue."""
        plan, row, known = self.plan, self.fresh, self.token.placeholders
        # Most fill in nothing but what the credential itself holds.
        if not plan.names <= known.keys():
            settings = ConnectorSettings(partner_id=row.partner_id, connector=row.connector)
            if plan.needs_settings:
                settings = ConnectorSettings.objects.for_connector(row.partner_id, row.connector)
            known = {**standing.values_of(row, settings, self.token), **known}
        return (
            plan.base_url or fill_url(plan.manifest.base_url, known, paths=paths_of(plan.manifest)),
            known,
        )

    def renewed(self) -> "Found | None":
        """The same with the token that takes the place of one that the provider has refused; None: none does.

        One that is new was not refused because of its age.
        """
        row = self.fresh
        if (row.clock - row.created_at).total_seconds() < 60:
            return None
        try:
            usable = tokens.usable(row.id, rejected=row.version_id)
        except ProblemError:
            return None
        if usable.version.pk == row.version_id:
            return None
        return replace(self, fresh=replace(row, token=usable.token, version_id=usable.version.pk))


def find(principal: Principal, installation_id: UUID) -> Found:
    """Raises ProblemError: not_http, and whatever fresh.find raises."""
    row = fresh.find(principal, installation_id)
    return Found(row, _plan(row.definition, row.auth_method))
