"""How an installation fares: what its page says of its checks, its token and its permissions."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.utils import timezone

from connectors.models import ConnectorSettings
from console.crypto import CannotOpen
from console.models import Job
from console.problems import PROBLEMS
from console.tenancy import Principal
from installations import standing, tokens
from installations.auth import Token, can_renew
from installations.models import HELD, Credential, Installation
from installations.sparkline import Sparkline, sparklines
from installations.values import BadValue, fill_scopes


@dataclass(frozen=True)
class Permission:
    """A scope. `granted` is None where the provider does not say what it granted."""

    scope: str
    label: str
    wanted: bool
    granted: bool | None


@dataclass(frozen=True)
class Bulletin:
    """Times are None where there is nothing to say."""

    spark: Sparkline
    checked_at: datetime | None
    next_check_at: datetime | None = None
    obtained_at: datetime | None = None
    was_renewed: bool = False
    ends_at: datetime | None = None
    next_renewal_at: datetime | None = None
    can_renew: bool = False
    # Why the last try to renew it failed, since when it does, how often, and when it is tried again.
    failing: str = ""
    failing_since: datetime | None = None
    attempts: int = 0
    retry_at: datetime | None = None
    unknown_since: datetime | None = None
    permissions: list[Permission] = field(default_factory=list)

    @property
    def has_ended(self) -> bool:
        return bool(self.ends_at and self.ends_at <= timezone.now())


def of(installation: Installation, principal: Principal) -> Bulletin:
    """Reads, and changes nothing. A credential that cannot be opened leaves out what stands in it."""
    about = f"installation:{installation.pk}"
    spark = sparklines(principal, [about])[about]
    checked_at = installation.last_checked_at
    row = tokens.read(installation.pk) if installation.status in HELD else None
    if row is None:
        return Bulletin(spark, checked_at)
    due = dict(
        Job.objects.filter(
            subject_id=installation.pk, kind__in=["check", "renew"], failed_at=None
        ).values_list("kind", "due_at")
    )
    connector = installation.definition
    method = connector and connector.manifest.method(installation.auth_method)
    try:
        token = Token.from_json(row.current.token)
    except CannotOpen:
        token = None
    renewable = bool(method and token and can_renew(method, token))
    return Bulletin(
        spark,
        checked_at,
        next_check_at=due.get("check"),
        obtained_at=row.current.created_at,
        was_renewed=_was_renewed(installation, row),
        ends_at=row.current.expires_at,
        next_renewal_at=due.get("renew"),
        can_renew=renewable,
        failing=_failing(installation, row),
        failing_since=row.failing_since,
        attempts=row.attempts,
        retry_at=row.retry_at if row.retry_at and row.retry_at > row.clock else None,
        unknown_since=row.unknown_since,
        permissions=_permissions(installation, method, token) if method and token else [],
    )


def _was_renewed(installation: Installation, row: Credential) -> bool:
    """Whether it came after the consent: both are written in one moment."""
    connected = installation.connected_at
    return bool(connected and row.current.created_at - connected > timedelta(minutes=1))


def _failing(installation: Installation, row: Credential) -> str:
    """What stands above on the page as the installation's own problem is not said twice."""
    if not row.problem or row.unknown_since or row.problem == installation.problem:
        return ""
    connector = installation.definition
    name = connector.name if connector else installation.connector
    return PROBLEMS[row.problem].title.format(connector=name, partner=installation.partner.name)


def _permissions(installation: Installation, method, token: Token) -> list[Permission]:
    """What the partner asks for, then what was granted besides."""
    rows = ConnectorSettings.objects
    settings = rows.for_connector(installation.partner_id, installation.connector)
    labels = getattr(method, "scope_labels", {})
    asked = settings.scopes_for(method)
    try:
        wanted = fill_scopes(asked, standing.values_of(installation, settings, token))
    except (BadValue, CannotOpen):
        return []
    granted = token.granted_scopes
    found = [
        Permission(scope, labels.get(template, ""), True, None if granted is None else scope in granted)
        for template, scope in zip(asked, wanted, strict=True)
    ]
    more = [scope for scope in granted or () if scope not in wanted]
    return found + [Permission(scope, labels.get(scope, ""), False, True) for scope in more]
