"""A renewal that brought no token: whose fault it is, and where that is noted (RFC 6749, section 5.2)."""

from datetime import timedelta

from django.db import transaction
from django.db.models import F

from connectors.manifest import AuthMethod
from connectors.models import ConnectorSettings
from console import clock, jobs
from console.clock import Now
from console.problems import ProblemError
from installations import alerts, attention, circuits, spool, standing
from installations.auth import Token, TokenError
from installations.leases import REVOKES, Held, Superseded, failed, note_unknown
from installations.models import Installation, Status, Tally

# Mistakes that the partner made with its OAuth client, and no customer can mend.
PARTNERS = {"invalid_client", "configuration_refused", "redirect_uri_mismatch"}


def refused(held: Held, settings: ConnectorSettings, error: TokenError) -> None:
    """Whose fault it is, noted where it belongs (RFC 6749, section 5.2). Raises ProblemError, Superseded."""
    row = held.row.installation
    place = (row.partner_id, row.connector)
    after = error.retry_after
    code = error.code
    if code == "invalid_grant":
        code = _end(held, settings, error)
    elif code in PARTNERS:
        after = circuits.REFUSED_FOR
        if standing.has_own_client(row):
            # Nobody else feels it.
            attention.need(row, held.row.current, code, words=error.words)
        else:
            alerts.raise_alert(*place, code, row.definition.name, error.words)
            circuits.failed(*place, code, at_once=after)
        held.put_off(code, after)
    else:
        if not error.is_ours:
            # A provider that says how long to wait says it for all; but no longer than until the next probe.
            at_once = min(after, circuits.PROBE_EVERY) if after else None
            circuits.failed(*place, code, at_once=at_once)
        after = max(after or timedelta(0), jobs.pause_after(held.row.attempts))
        if error.is_unknown and _is_single_use(held.method):
            code = _leave_open(held, code)
        else:
            held.put_off(code, after)
    spool.forget(held.row.pk, held.lease)
    Tally.note(row, clock.now().date(), worked=False)
    raise ProblemError(code, words=error.words, retry_after=after) from error


def _end(held: Held, settings: ConnectorSettings, error: TokenError) -> str:
    """The provider says that the grant is over. It is, if it said so of the version that is current."""
    row, version = held.row.installation, held.row.current
    values = standing.values_of(row, settings, Token.from_json(version.token))
    now_client = standing.client_digest(held.method, values)
    code = "renewal_lost" if held.lost else "grant_ended"
    if version.client_digest and version.client_digest != now_client:
        code = "client_changed"
    with transaction.atomic():
        ended = held.mine.update(lease_until=None, retry_at=None, **failed(code))
        if not ended:
            raise Superseded
        attention.need(row, version, code, words=error.words)
        _look_at_twins(row)
    return code


def _look_at_twins(row: Installation) -> None:
    """Of the same account at the provider: one grant may have been shared, and has ended for all then."""
    same = Installation.objects.filter(partner_id=row.partner_id, connector=row.connector)
    same = same.filter(external_account_id=row.external_account_id, status=Status.CONNECTED)
    for twin in same.exclude(pk=row.pk) if row.external_account_id else ():
        jobs.schedule("check", twin.pk, twin.partner_id)


def _is_single_use(method: AuthMethod) -> bool:
    return getattr(method, "rotation", "none") in ("single_use", REVOKES)


def _leave_open(held: Held, code: str) -> str:
    """Whether the refresh token was used nobody knows: the lease runs out as if we had been killed."""
    held.mine.update(retry_at=F("lease_until"), **failed(code))
    # Together: what is unknown waits for a person, who must have been told.
    with transaction.atomic():
        if held.method.rotation == REVOKES and held.mine.update(unknown_since=Now()):
            note_unknown(held.row)
            return "renewal_unknown"
    return code
