"""What is done for installations without anybody looking: each function does the jobs of one kind."""

from datetime import timedelta

from console import clock, jobs
from console.jobs import Again, Claim, handler
from console.problems import ProblemError
from installations import health, standing, tokens
from installations.auth import Token
from installations.models import Installation
from installations.notices import customers, digest, endings

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
    row = tokens.read(claim.subject_id)
    method = found.installation.definition.manifest.method(found.installation.auth_method)
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
    try:
        if not row.disabled_at and row.partner.is_active:
            health.check(row)
    except ProblemError as error:
        if error.code not in UP_TO_PEOPLE | SWITCHED_OFF | set(health.BLAMES) and claim.job.attempts < 5:
            raise _again(error) from error
    with claim.finish(health.next_check(connector.manifest, clock.now())):
        pass


__all__ = ["check", "customers", "digest", "endings", "jobs", "renew"]
