"""What a renewal brought, from the answer to the database: written once, and over what was renewed alone."""

import logging
import time
from contextlib import suppress
from uuid import UUID, uuid4

from django.db import DatabaseError, connection, transaction
from django.db.models import Q

from connectors.models import ConnectorSettings
from console import clock, jobs
from console.clock import Now
from installations import attention, ending, leases, spool, standing
from installations.auth import Token, TokenError, following
from installations.auth.token_response import parse
from installations.leases import Held, Superseded
from installations.models import Credential, CredentialVersion, Installation, Status, Tally
from installations.refused import PARTNERS
from installations.values import BadValue

log = logging.getLogger("installations.renewing")

# What a successful renewal shows to be over.
MENDED = ["grant_ended", "renewal_lost", "renewal_unknown", "credential_rejected", *PARTNERS]


def write(held: Held, token: Token) -> None:
    """The provider has given a token that exists only here: a database that fails is asked again."""
    until = time.monotonic() + leases.LEASE.total_seconds()
    while True:
        try:
            return _written(held, token)
        except DatabaseError:
            if connection.in_atomic_block or time.monotonic() > until:
                raise
            connection.close()
            time.sleep(0.5)


def _written(held: Held, token: Token) -> None:
    """The new version in place of the one that was renewed. Raises Superseded."""
    row = held.row.installation
    settings = ConnectorSettings.objects.for_connector(row.partner_id, row.connector)
    values = standing.values_of(row, settings, token)
    with transaction.atomic():
        now = clock.now()
        version = CredentialVersion.objects.create(
            partner_id=row.partner_id,
            installation=row,
            **standing.version_fields(held.method, token, values)
            | ({"client_digest": held.row.current.client_digest} if held.is_bound else {}),
        )
        taken = held.mine.update(
            current=version,
            lease_until=None,
            lease=uuid4(),
            retry_at=None,
            attempts=0,
            problem="",
            failing_since=None,
            unknown_since=None,
        )
        if not taken:
            raise Superseded
        CredentialVersion.objects.filter(installation=row).exclude(pk=version.pk).delete()
        rows = type(row).objects.filter(pk=row.pk)
        before = Token.from_json(held.row.current.token)
        rows.update(**standing.installation_fields(settings, held.method, token, values, before))
        mended = rows.filter(status=Status.ATTENTION, problem__in=MENDED)
        if mended.update(status=Status.CONNECTED, problem=""):
            attention.works_again(row)
        if at := standing.renew_at(held.method, token, now):
            jobs.schedule("renew", row.pk, row.partner_id, at)
        Tally.note(row, now.date(), worked=True)


def from_the_spool(held: Held, answer: spool.Answer) -> bool:
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
    write(held, following(old, fresh))
    answer.forget()
    log.info("an answer from the spool was written: credential=%s", held.row.pk)
    return True


def _end_unused(answer: spool.Answer) -> None:
    """Let the grant be ended of a token that came for a credential that was destroyed meanwhile.

    Left alone where something is connected to its account, this installation or another, when its turn comes.
    """
    row = Installation.objects.filter(pk=answer.installation_id, partner_id=answer.partner_id).first()
    connector = row and row.definition
    account = row.external_account_id if row else ""
    if connector is None or not account:
        log.warning("an answer from the spool is of no use: credential=%s", answer.credential_id)
        return
    # What is no token, or was made for a way to connect that is gone, must not keep the other answers.
    with suppress(TokenError, BadValue, StopIteration), transaction.atomic():
        method = connector.manifest.method(row.auth_method)
        token = parse(answer.status, answer.body, method.token_response, requested_at=answer.requested_at)
        ending.end_token(row, token, account)


def replay(credential_id: UUID | None = None) -> int:
    """Write what arrived and was not written, of one credential or of all; how many that were."""
    done = 0
    for answer in spool.kept(credential_id):
        rows = Credential.objects.select_related("current", "installation__partner").annotate(clock=Now())
        row = rows.filter(pk=answer.credential_id).first()
        connector = row and row.installation.definition
        if row is None:
            _end_unused(answer)
        if row is None or answer.version_id != row.current_id or connector is None:
            answer.forget()
            continue
        method = connector.manifest.method(row.installation.auth_method)
        # Whoever held the lease under which it came is gone, or is writing it at this moment.
        lease = uuid4()
        same = Credential.objects.filter(pk=row.pk, current_id=row.current_id)
        free = Q(lease_until=None) | Q(lease_until__lte=Now()) | Q(lease=answer.lease)
        if same.filter(free).update(lease=lease, lease_until=Now() + leases.LEASE):
            held = Held(row, method, lease, lost=True)
            with suppress(Superseded):
                done += from_the_spool(held, answer)
                held.mine.update(lease_until=None)
    return done
