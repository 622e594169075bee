"""Renew one credential, under a lease.

No transaction is open while the provider is asked. What it answers is on the disk before it is read, and in
the database before anything else happens; and only the holder of the lease can write, only over the version
that it renewed.
"""

import logging
from datetime import datetime
from functools import partial

from django.db import transaction

from connectors.models import ConnectorSettings
from console.clock import Now
from console.problems import ProblemError
from installations import alerts, circuits, ending, renewed, spool, standing
from installations.auth import Token, TokenError
from installations.auth import renew as ask
from installations.leases import Held, Superseded
from installations.models import Credential
from installations.refused import PARTNERS, refused
from installations.values import BadValue, fill_scopes

log = logging.getLogger("installations.renewing")


def renew(held: Held) -> Credential:
    """Ask the provider and write down what it gave; the credential as it is then.

    Raises ProblemError for what went wrong, noted where it belongs; Superseded.
    """
    for answer in spool.kept(held.row.pk):
        if renewed.from_the_spool(held, answer):
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
        held.put_off("value_unusable", circuits.REFUSED_FOR)
        raise ProblemError("value_unusable", words=str(error)) from error
    except TokenError as error:
        left = spool.kept(held.row.pk) if error.code == "invalid_grant" else ()
        if any(renewed.from_the_spool(held, answer) for answer in left):
            # It has been used before, by one who was too late to write what it got.
            return _again(held)
        refused(held, settings, error)
    except BaseException:
        # Nobody knows what the provider did; whoever comes next is told so by the lease, once it ends.
        log.error("renewal broken off: credential=%s", held.row.pk)
        raise
    else:
        try:
            renewed.write(held, token)
        except Superseded:
            _let_go(held, token)
            # Should the one that took over get nothing, then this is the truth.
            renewed.replay(held.row.pk)
            raise
        spool.forget(held.row.pk, held.lease)
        if was_counting:
            circuits.succeeded(*place)
            alerts.close_alerts(*place, *PARTNERS)
    return _again(held)


def _let_go(held: Held, token: Token) -> None:
    """What came for a credential that was destroyed meanwhile, or replaced by a new consent, is not kept."""
    same = Credential.objects.filter(pk=held.row.pk)
    if same.filter(current_id=held.row.current_id).exists():
        return
    if not same.exists():
        with transaction.atomic():
            ending.end_token(held.row.installation, token, held.row.installation.external_account_id)
    spool.forget(held.row.pk, held.lease)


def _again(held: Held) -> Credential:
    rows = Credential.objects.select_related("current", "installation__partner").annotate(clock=Now())
    return rows.get(pk=held.row.pk)


def _ask(held: Held, settings: ConnectorSettings) -> Token:
    """With the partner's values; where its new secret is refused, with the one before, while that counts."""
    token = Token.from_json(held.row.current.token)
    candidates = _candidates(held, settings, token)
    for number, values in enumerate(candidates, start=1):
        scopes = fill_scopes(settings.scopes_for(held.method), values)
        wanted = standing.wanted(held.manifest)
        try:
            return ask(held.method, values, token, scopes, wanted=wanted, keep=partial(_keep, held))
        except TokenError as error:
            if error.code != "invalid_client" or number == len(candidates):
                raise
    raise TokenError("invalid_grant", "it was given to an earlier Client ID")


def _candidates(held: Held, settings: ConnectorSettings, token: Token) -> list[dict[str, str]]:
    """The values to ask with, in turn: today's, then those before, while they count.

    A refresh token belongs to its client (RFC 6749, section 10.4): no other one is asked with it.
    """
    version, found = held.row.current, []
    for instead in ({}, *settings.previous_clients(held.row.clock)):
        values = standing.values_of(held.row.installation, settings, token, instead=instead)
        is_its_own = standing.client_digest(held.method, values) == version.client_digest
        if values not in found and (is_its_own or not held.is_bound):
            found.append(values)
    return found


def _keep(held: Held, status: int, body: bytes, requested_at: datetime) -> None:
    answer = spool.Answer(
        credential_id=held.row.pk,
        partner_id=held.row.partner_id,
        version_id=held.row.current_id,
        lease=held.lease,
        status=status,
        body=body,
        requested_at=requested_at,
        installation_id=held.row.installation_id,
    )
    try:
        spool.keep(answer)
    except OSError as error:
        # A full disk here says nothing about the database, which is the next to be asked.
        log.error("an answer could not be kept: credential=%s %s", held.row.pk, type(error).__name__)
