"""What is done for installations without anybody looking: each function does the jobs of one kind."""

from collections import defaultdict
from datetime import timedelta
from uuid import UUID

from connectors.models import ConnectorSettings
from console import clock, jobs
from console.jobs import Again, Claim, handler
from console.problems import ProblemError
from console.tidying import daily, throw_away
from installations import health, standing, tokens
from installations.auth import Token
from installations.hooks import forwarding
from installations.models import HELD, Credential, Installation, Tally
from installations.notices import customers, digest, endings
from installations.values import BadValue

# Of these somebody has been told; trying again by ourselves mends nothing.
UP_TO_PEOPLE = tokens.ENDED | {
    "renewal_unknown",
    "credential_expired",
    "credential_rejected",
    "connector_gone",
}
# Of these nobody is to blame, and one day they are over.
SWITCHED_OFF = {"installation_disabled", "partner_disabled"}


def _again(error: ProblemError) -> Again:
    return Again(error.code, error.retry_after)


# As long as the credential's own lease: one that was left behind is noticed within a minute of its end.
@handler("renew", lease_seconds=60)
def renew(claim: Claim) -> None:
    """Renew a token ahead of its end."""
    try:
        found = tokens.usable(claim.subject_id, ahead=True)
    except ProblemError as error:
        if error.code in UP_TO_PEOPLE:
            return
        if error.code in SWITCHED_OFF:
            with claim.finish(clock.now() + timedelta(hours=1)):
                return
        raise _again(error) from error
    connector = found.installation.definition
    if connector is None:
        # Nobody knows any more how it would be renewed.
        return
    row = tokens.read(claim.subject_id)
    method = connector.manifest.method(found.installation.auth_method)
    if row and (held := tokens.held_back(row)):
        # It could not be renewed and lives on for a while.
        if held.code in UP_TO_PEOPLE:
            return
        raise _again(held)
    token = Token.from_json(found.version.token)
    at = standing.renew_at(method, token, found.version.created_at)
    soon = clock.now() + timedelta(seconds=5)
    with claim.finish(at and max(at, soon)):
        pass


@handler("check", lease_seconds=90)
def check(claim: Claim) -> None:
    """Check one installation, and set the time of the next check."""
    row = Installation.objects.select_related("partner").filter(pk=claim.subject_id).first()
    connector = row and row.definition
    if connector is None or row.status not in ("connected", "needs_attention"):
        return
    if not row.partner.is_active:
        # Not by the connector's rhythm: once the partner is back, it is due.
        with claim.finish(clock.now() + timedelta(hours=1)):
            return
    try:
        if not row.disabled_at:
            health.check(row)
    except ProblemError as error:
        if error.code not in UP_TO_PEOPLE | SWITCHED_OFF | set(health.BLAMES) and claim.job.attempts < 5:
            raise _again(error) from error
    with claim.finish(health.next_check(connector.manifest, clock.now())):
        pass


@handler("scopes", lease_seconds=600)
def scopes(claim: Claim) -> None:
    """A partner has changed what it asks for: say of each installation anew what it lacks."""
    settings = ConnectorSettings.objects.filter(pk=claim.subject_id).first()
    if settings is None:
        return
    held = Credential.objects.filter(
        partner_id=settings.partner_id,
        installation__connector=settings.connector,
        installation__status__in=HELD,
    )
    found: dict[tuple, list[UUID]] = defaultdict(list)
    for row in held.select_related("current", "installation").iterator(chunk_size=500):
        fields = _says(row, settings)
        if any(getattr(row.installation, name) != value for name, value in fields.items()):
            found[tuple(fields.items())].append(row.current_id)
    for fields, versions in found.items():
        for start in range(0, len(versions), 500):
            # One that was renewed meanwhile has said so itself.
            same = Installation.objects.filter(credential__current__in=versions[start : start + 500])
            same.update(**dict(fields))


def _says(row: Credential, settings: ConnectorSettings) -> dict:
    """What the installation says of its token; nothing where nobody can tell."""
    connector = row.installation.definition
    if connector is None:
        return {}
    token = Token.from_json(row.current.token)
    try:
        method = connector.manifest.method(row.installation.auth_method)
        values = standing.values_of(row.installation, settings, token)
        return standing.installation_fields(settings, method, token, values)
    except (BadValue, StopIteration):
        return {}


# So long the sparklines could be drawn further back than they are.
KEEP_TALLIES = timedelta(days=90)


@daily
def forget_old_tallies() -> None:
    throw_away(Tally.objects.filter(day__lt=clock.now().date() - KEEP_TALLIES), at_once=5_000)


__all__ = [
    "check",
    "customers",
    "digest",
    "endings",
    "forget_old_tallies",
    "forwarding",
    "jobs",
    "renew",
    "scopes",
]
