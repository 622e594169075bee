"""Renew one credential, under a lease.

No transaction is open while the provider is asked. What it answers is on the disk before it is read, and in
the database before anything else happens; and only the holder of the lease can write, only over the version
that it renewed.
"""

import logging
import time
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID, uuid4

from django.db import DatabaseError, connection, transaction
from django.db.models import F, Q

from connectors.manifest import AuthMethod
from connectors.models import ConnectorSettings
from console import clock, jobs
from console.clock import Now
from console.problems import ProblemError
from installations import alerts, attention, circuits, spool, standing
from installations.auth import Token, TokenError, following
from installations.auth import renew as ask
from installations.auth.token_response import parse
from installations.leases import LEASE, REVOKES, Held, Superseded, note_unknown
from installations.models import Credential, CredentialVersion, Installation, Status, Tally
from installations.values import BadValue, fill_scopes

log = logging.getLogger("installations.renewing")

# Mistakes that the partner made with its OAuth client, and no customer can mend.
PARTNERS = {"invalid_client", "configuration_refused", "redirect_uri_mismatch"}
# What a successful renewal shows to be over.
MENDED = ["grant_ended", "renewal_lost", "renewal_unknown", "credential_rejected", "invalid_client"]


def renew(held: Held) -> Credential:
    """Ask the provider and write down what it gave; the credential as it is then.

    Raises ProblemError for what went wrong, noted where it belongs; Superseded.
    """
    for answer in spool.kept(held.row.pk):
        if _replay(held, answer):
            return _again(held)
    settings = ConnectorSettings.objects.for_connector(held.row.partner_id, held.row.installation.connector)
    place = (held.row.partner_id, held.row.installation.connector)
    try:
        was_counting = circuits.enter(*place)
        token = _ask(held, settings)
    except circuits.Open as error:
        held.mine.update(lease_until=None, retry_at=Now() + error.after, problem=error.code)
        raise ProblemError(error.code, retry_after=error.after) from None
    except BadValue as error:
        _put_off(held, "value_unusable", circuits.REFUSED_FOR)
        raise ProblemError("value_unusable", words=str(error)) from error
    except TokenError as error:
        if error.code == "invalid_grant" and any(_replay(held, answer) for answer in spool.kept(held.row.pk)):
            # It has been used before, by one who was too late to write what it got.
            return _again(held)
        _failed(held, settings, error)
    except BaseException:
        # Nobody knows what the provider did; whoever comes next is told so by the lease, once it ends.
        log.error("renewal broken off: credential=%s", held.row.pk)
        raise
    else:
        try:
            _write_until_it_is_written(held, token)
        except Superseded:
            # Should the one that took over get nothing, then this is the truth.
            replay(held.row.pk)
            raise
        spool.forget(held.row.pk, held.lease)
        if was_counting:
            circuits.succeeded(*place)
            alerts.close_alerts(*place, *PARTNERS)
    return _again(held)


def _again(held: Held) -> Credential:
    rows = Credential.objects.select_related("current", "installation__partner").annotate(clock=Now())
    return rows.get(pk=held.row.pk)


def _ask(held: Held, settings: ConnectorSettings) -> Token:
    """With the partner's values; where its new secret is refused, with the one before, while that counts."""
    token = Token.from_json(held.row.current.token)
    candidates: list[dict[str, str]] = [{}]
    if settings.previous and settings.previous_until and settings.previous_until > held.row.clock:
        candidates.append(settings.previous)
    for number, instead in enumerate(candidates, start=1):
        values = standing.values_of(held.row.installation, settings, token, instead=instead)
        scopes = fill_scopes(settings.scopes_for(held.method), values)
        wanted = standing.wanted(held.manifest)
        try:
            return ask(held.method, values, token, scopes, wanted=wanted, keep=partial(_keep, held))
        except TokenError as error:
            if error.code != "invalid_client" or number == len(candidates):
                raise
    raise AssertionError("there is always a candidate")


def _keep(held: Held, status: int, body: bytes, requested_at: datetime) -> None:
    spool.keep(
        spool.Answer(
            credential_id=held.row.pk,
            partner_id=held.row.partner_id,
            version_id=held.row.current_id,
            lease=held.lease,
            status=status,
            body=body,
            requested_at=requested_at,
        )
    )


def _write_until_it_is_written(held: Held, token: Token) -> None:
    """The provider has given a token that exists only here: a database that fails is asked again."""
    until = time.monotonic() + LEASE.total_seconds()
    while True:
        try:
            return _write(held, token)
        except DatabaseError:
            if connection.in_atomic_block or time.monotonic() > until:
                raise
            connection.close()
            time.sleep(0.5)


def _write(held: Held, token: Token) -> None:
    """The new version in place of the one that was renewed. Raises Superseded."""
    row = held.row.installation
    settings = ConnectorSettings.objects.for_connector(row.partner_id, row.connector)
    values = standing.values_of(row, settings, token)
    with transaction.atomic():
        now = clock.now()
        version = CredentialVersion.objects.create(
            partner_id=row.partner_id,
            installation=row,
            **standing.version_fields(held.method, token, values),
        )
        taken = held.mine.update(
            current=version,
            lease_until=None,
            lease=uuid4(),
            retry_at=None,
            attempts=0,
            problem="",
            unknown_since=None,
        )
        if not taken:
            raise Superseded
        CredentialVersion.objects.filter(installation=row).exclude(pk=version.pk).delete()
        rows = type(row).objects.filter(pk=row.pk)
        rows.update(**standing.installation_fields(settings, held.method, token, values))
        rows.filter(status=Status.ATTENTION, problem__in=MENDED).update(status=Status.CONNECTED, problem="")
        if at := standing.renew_at(held.method, token, now):
            jobs.schedule("renew", row.pk, row.partner_id, at)
        Tally.note(row, now.date(), worked=True)


def _failed(held: Held, settings: ConnectorSettings, error: TokenError) -> None:
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
        _put_off(held, code, after)
    else:
        if not error.is_ours:
            # A provider that says how long to wait says it for all; but no longer than until the next probe.
            at_once = min(after, circuits.PROBE_EVERY) if after else None
            circuits.failed(*place, code, at_once=at_once)
        after = max(after or timedelta(0), jobs.pause_after(held.row.attempts))
        if error.is_unknown and _is_single_use(held.method):
            code = _leave_open(held, code)
        else:
            _put_off(held, code, after)
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
        ended = held.mine.update(lease_until=None, retry_at=None, attempts=F("attempts") + 1, problem=code)
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
    held.mine.update(retry_at=F("lease_until"), attempts=F("attempts") + 1, problem=code)
    if held.method.rotation == REVOKES and held.mine.update(unknown_since=Now()):
        note_unknown(held.row)
        return "renewal_unknown"
    return code


def _put_off(held: Held, code: str, after: timedelta) -> None:
    held.mine.update(lease_until=None, retry_at=Now() + after, attempts=F("attempts") + 1, problem=code)


# ── what a process left behind ──────────────────────────────────────────────────────────────────


def _replay(held: Held, answer: spool.Answer) -> bool:
    """Write what an earlier holder had got and could not write; False where it was of no use any more."""
    if answer.version_id != held.row.current_id:
        answer.forget()
        return False
    old = Token.from_json(held.row.current.token)
    shape = held.method.token_response
    try:
        fresh = parse(
            answer.status,
            answer.body,
            shape,
            requested_at=answer.requested_at,
            wanted=standing.wanted(held.manifest),
        )
    except TokenError:
        answer.forget()
        return False
    _write_until_it_is_written(held, following(old, fresh))
    answer.forget()
    log.info("an answer from the spool was written: credential=%s", held.row.pk)
    return True


def replay(credential_id: UUID | None = None) -> int:
    """Write what arrived and was not written, of one credential or of all; how many that were."""
    done = 0
    for answer in spool.kept(credential_id):
        rows = Credential.objects.select_related("current", "installation__partner").annotate(clock=Now())
        row = rows.filter(pk=answer.credential_id).first()
        connector = row and row.installation.definition
        if row is None or answer.version_id != row.current_id or connector is None:
            answer.forget()
            continue
        method = connector.manifest.method(row.installation.auth_method)
        # Whoever held the lease under which it came is gone, or is writing it at this moment.
        lease = uuid4()
        same = Credential.objects.filter(pk=row.pk, current_id=row.current_id)
        free = Q(lease_until=None) | Q(lease_until__lte=Now()) | Q(lease=answer.lease)
        if same.filter(free).update(lease=lease, lease_until=Now() + LEASE):
            held = Held(row, method, lease, lost=True)
            with suppress(Superseded):
                done += _replay(held, answer)
                held.mine.update(lease_until=None)
    return done
