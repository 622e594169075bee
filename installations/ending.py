"""The end of an installation's access: here at once, at its provider by a job that tries for a day.

What is still needed to end the grant (RFC 7009) is written in the transaction that destroys the credential,
and goes when the provider has ended it or the day is over.
"""

import logging
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from connectors import releases
from connectors.manifest import AuthMethod, Manifest
from connectors.manifest.vocabulary import names_in
from connectors.models import ConnectorSettings
from console import clock, crypto, jobs
from console.jobs import Again, Claim, handler
from console.models import Event
from console.tenancy import Principal
from installations import alerts, standing
from installations.auth import Token, TokenError
from installations.auth import revoke as revoke_at_provider
from installations.models import Credential, Installation, Revocation, Setup, Status
from installations.values import BadValue, resolve
from installations.webhooks.outbox import announce

log = logging.getLogger("installations.ending")

TRIED_FOR = timedelta(hours=24)


def disconnect(installation: Installation, principal: Principal, *, with_others: bool = False) -> str:
    """Destroy the credential and let the grant be ended; what a person is told of that.

    `with_others`: whatever else uses the same grant ends as well.
    """
    with transaction.atomic():
        told = _end_grants(installation, principal, with_others=with_others)
        is_new = installation.disconnect()
        for kind in ("renew", "check"):
            jobs.cancel(kind, installation.pk)
        Event.objects.record(
            "installation.disconnected", principal, "It was disconnected", subject=installation
        )
        if is_new:
            now = {"state": Status.DISCONNECTED, "problem": None}
            announce("installation.disconnected", installation=installation, data=now)
    return told


def remove(installation: Installation, principal: Principal) -> str:
    """Delete the installation and let its grant be ended; what a person is told of that."""
    with transaction.atomic():
        told = _end_grants(installation, principal, with_others=False)
        if not installation.remove():
            return told
        for kind in ("renew", "check"):
            jobs.cancel(kind, installation.pk)
        name = f"{name_of(installation)} of {installation.account}"
        Event.objects.record(
            "installation.deleted", principal, f"{name} was deleted"[:300], subject=installation
        )
        now = {"state": "deleted", "problem": None}
        announce("installation.deleted", installation=installation, data=now)
    return told


def abandon_setup(installation: Installation, principal: Principal) -> None:
    """Forget what a setup that was not finished has collected, and let the grant that it holds be ended."""
    with transaction.atomic():
        setups = Setup.objects.select_for_update().filter(installation=installation, token__isnull=False)
        for setup in setups:
            _end_of_setup(installation, setup)
        setups.delete()
        installation.stop_waiting()
        Event.objects.record("setup.abandoned", principal, "The setup was abandoned", subject=installation)


def end_unused(setup: Setup, token: Token, values: dict, account: str) -> None:
    """Let a grant be ended that was given and then not taken, as the refusals after an exchange are.

    Left alone where something lives by it, as far as anybody can tell: where the provider names no account,
    nobody can.
    """
    method = setup.definition.manifest.method(setup.auth_method)
    if account and method.is_oauth:
        with transaction.atomic():
            _ask_for_end(setup.installation, setup.release_id, method, token, values, account)


def name_of(installation: Installation) -> str:
    """The connector's name, as people say it."""
    connector = installation.definition
    return connector.name if connector else installation.connector


def _end_grants(installation: Installation, principal: Principal, *, with_others: bool) -> str:
    connector = installation.definition
    if connector is None:
        return ""
    name, note = connector.name, connector.manifest.disconnect_note
    # Locked in the order in which a renewal writes them.
    rows = Credential.objects.select_for_update().select_related("current")
    row = rows.filter(installation=installation).first()
    account = "" if with_others else installation.external_account_id
    mine = (installation.partner_id, installation.connector, account)
    if row and _lives_by(*mine, row.current.client_digest).exclude(pk=installation.pk).exists():
        Event.objects.record(
            "grant.kept",
            principal,
            f"{name} was not asked to end the access: another installation uses the same account",
            subject=installation,
        )
        return (
            f"Another installation uses the same {name} account, so {name} was not asked to end the access."
        )
    asked = bool(row) and end(installation, row, account)
    for setup in installation.setup_set.filter(token__isnull=False):
        asked |= _end_of_setup(installation, setup)
    if asked:
        return f"{name} is asked to end the access as well; the record says when it has. {note}".strip()
    return note or (f"{name} cannot be asked to end the access: remove it there as well." if row else "")


def can_ask(installation: Installation) -> bool:
    """Whether its provider can be asked to end the access."""
    connector = installation.definition
    methods = connector.manifest.auth_methods if connector else ()
    mine = (method for method in methods if method.key == installation.auth_method)
    return any(getattr(method, "revocation_endpoint", "") for method in mine)


def _lives_by(partner_id: UUID, connector: str, account: str, client_digest: str) -> QuerySet:
    """The installations that live by the same grant, as far as anybody can tell.

    Some providers (Google) know one grant for each client and account: to end it for one installation would
    silently end it for another, or for one that was set up again meanwhile.
    """
    rows = Installation.objects.filter(
        partner_id=partner_id,
        connector=connector,
        external_account_id=account,
        status__in=[Status.CONNECTED, Status.ATTENTION],
        credential__current__client_digest=client_digest,
    )
    return rows if account else rows.none()


def end(installation: Installation, row: Credential, account: str) -> bool:
    """Let the grant of this credential be ended; False where its provider cannot be asked.

    It is left alone where something is connected to `account` by then, unless that is "".
    """
    try:
        return end_token(installation, Token.from_json(row.current.token), account)
    except crypto.CannotOpen:
        # A damaged token stops nobody from disconnecting.
        log.error("a grant cannot be ended, its token cannot be read: installation=%s", installation.pk)
        return False


def end_token(installation: Installation, token: Token, account: str) -> bool:
    """Let the grant of this token of the installation be ended, as `end` does."""
    manifest = installation.definition.manifest
    settings = ConnectorSettings.objects.for_connector(installation.partner_id, installation.connector)
    values = standing.values_of(installation, settings, token)
    method = manifest.method(installation.auth_method)
    return _ask_for_end(installation, installation.release_id, method, token, values, account)


def _end_of_setup(installation: Installation, setup: Setup) -> bool:
    """A setup that was not finished may hold a grant of its own."""
    manifest = setup.definition.manifest
    settings = ConnectorSettings.objects.for_connector(setup.partner_id, installation.connector)
    method = manifest.method(setup.auth_method)
    try:
        token = Token.from_json(setup.token)
        stored = settings.values_for(manifest, method.key)
        values = resolve(manifest, method.key, stored, setup.values or {}, setup.found, token.values)
    except crypto.CannotOpen:
        log.error("a grant cannot be ended, its setup cannot be read: installation=%s", installation.pk)
        return False
    return _ask_for_end(installation, setup.release_id, method, token, values, "")


def _ask_for_end(
    installation: Installation,
    release_id: str | None,
    method: AuthMethod,
    token: Token,
    values: dict,
    account: str,
) -> bool:
    endpoint = getattr(method, "revocation_endpoint", "")
    if not endpoint or not (token.refresh_token or token.access_token):
        return False
    # No more than the request needs.
    needed = {name: values.get(name, "") for name in names_in(endpoint, *method.client)}
    row = Revocation.objects.create(
        partner_id=installation.partner_id,
        connector=installation.connector,
        release_id=release_id,
        auth_method=method.key,
        installation_id=installation.pk,
        grant={"token": token.to_json(), "values": needed, "account": account},
    )
    jobs.schedule("revoke", row.pk, row.partner_id)
    return True


# ── at the provider ─────────────────────────────────────────────────────────────────────────────


@handler("revoke", lease_seconds=60)
def revoke(claim: Claim) -> None:
    """Ask a provider to end a grant, until it has or a day is over. Raises Again."""
    row = Revocation.objects.filter(pk=claim.subject_id).first()
    if row is None:
        return
    connector = releases.find(row.connector, row.release_id)
    name = connector.name if connector else row.connector
    left = row.created_at + TRIED_FOR - clock.now()
    kind, text, why = "grant.ended", f"{name} has ended the access", {}
    try:
        if connector is None:
            raise BadValue("the connector is gone from the library")
        if _is_in_use(row, connector.manifest):
            kind, text = "grant.kept", f"{name} was not asked to end the access: it is in use again"
        else:
            _ask(row, connector.manifest)
    except (BadValue, TokenError, crypto.CannotOpen, StopIteration) as error:
        code = error.code if isinstance(error, TokenError) else "value_unusable"
        if left > timedelta(0):
            # Not beyond the last moment at which it makes sense; the usual pause where nobody names one.
            after = getattr(error, "retry_after", None)
            raise Again(code, min(after, left) if after else None) from error
        kind, why = "grant.not_ended", {"code": code}
        text = f"{name} did not end the access within a day: it may live on there. Remove it at {name}"
    with claim.finish():
        row.delete()
        Event.objects.record(
            kind,
            alerts.itself(row.partner_id),
            text[:300],
            subject=row.installation_id,
            connector=row.connector,
            **why,
        )


def _is_in_use(row: Revocation, manifest: Manifest) -> bool:
    """Whether something lives by the grant again, set up since."""
    digest = standing.client_digest(manifest.method(row.auth_method), row.grant["values"])
    return _lives_by(row.partner_id, row.connector, row.grant["account"], digest).exists()


def _ask(row: Revocation, manifest: Manifest) -> None:
    """With the client's secret of that time; where it was replaced since, with today's.

    Raises TokenError, BadValue, CannotOpen.
    """
    method = manifest.method(row.auth_method)
    token, values = Token.from_json(row.grant["token"]), row.grant["values"]
    try:
        revoke_at_provider(method, values, token)
    except TokenError as error:
        settings = ConnectorSettings.objects.for_connector(row.partner_id, row.connector)
        stored = settings.values_for(manifest, method.key)
        today = {name: stored.get(name) or value for name, value in values.items()}
        same_client = standing.client_digest(method, today) == standing.client_digest(method, values)
        if error.code != "invalid_client" or today == values or not same_client:
            raise
        revoke_at_provider(method, today, token)
