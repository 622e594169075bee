"""From what was entered or consented to, to a verified installation. HTTP here, rows here."""

from collections.abc import Mapping
from uuid import uuid4

from django.db import transaction
from django.utils import timezone

from connectors import releases
from connectors.authoring import drafts
from connectors.manifest import Manifest, Property
from connectors.models import ConnectorSettings
from console import clock, jobs
from console.models import Event
from console.problems import ProblemError
from console.tenancy import Principal
from installations import ending, health, standing, verification
from installations.auth import DIRECT, STATIC, Static, Token, TokenError
from installations.models import Credential, CredentialVersion, Installation, Setup, SetupLink, Status
from installations.values import BadValue, fill_scopes, resolve
from installations.verification import AddressUnknown, Identity
from installations.webhooks.outbox import announce


class ChoiceNeeded(Exception):
    """The provider offers several things, and only the customer knows which is meant."""


def begin(installation: Installation, principal: Principal, said: str = "A setup was opened") -> Setup:
    """The installation's open setup, a new one where there is none. `said` is put on the record then.

    A new one starts from what is known: the auth method and the values of the last time.
    """
    with transaction.atomic():
        # Locked, so that two tabs do not both open one.
        row = Installation.objects.select_for_update().get(pk=installation.pk)
        if found := row.open_setup():
            if found.setup_link_id != principal.setup_link_id:
                _take_over(found, principal)
            return found
        setup = Setup(partner_id=row.partner_id, installation=row, auth_method=row.auth_method)
        setup.setup_link_id = principal.setup_link_id
        if today := row.current:
            setup.release_id = releases.keep(today)
        setup.values, setup.stored = row.values, row.stored
        setup.save()
        Event.objects.record("setup.opened", principal, said, subject=row)
        return setup


def _take_over(setup: Setup, principal: Principal) -> None:
    """Go on with what somebody else began: with their choices, not with their secrets."""
    manifest = setup.definition.manifest
    public = {prop.name for prop in manifest.properties if not prop.is_secret}
    setup.set_values(dict.fromkeys(setup.stored.keys() - public), principal.actor)
    setup.setup_link_id, setup.reviewed_at = principal.setup_link_id, None
    setup.token, setup.found, setup.address_needed = None, {}, False
    setup.save()


def asked(manifest: Manifest, partner: ConnectorSettings, auth_method: str) -> list[Property]:
    """What this installation must be asked: what belongs to the account, and what the partner left blank."""
    return [
        prop
        for prop in manifest.properties_for(auth_method)
        if prop.level in ("account", "partner_else_account")
        and not prop.fallback
        and prop.type != "lookup"
        and prop.name != manifest.method_property
        and (prop.level == "account" or prop.name not in partner.supplied(manifest, auth_method))
    ]


def missing_from_partner(manifest: Manifest, partner: ConnectorSettings, auth_method: str) -> list[Property]:
    """What only the partner can supply, and has not."""
    return [
        prop
        for prop in manifest.properties_for(auth_method)
        if prop.level == "partner" and prop.required and not prop.default and prop.name not in partner.stored
    ]


def choose_method(setup: Setup, auth_method: str, **values: str) -> None:
    """Another method than before forgets what was obtained by the other one."""
    setup.auth_method = auth_method
    setup.token, setup.found, setup.address_needed = None, {}, False
    setup.set_values(values, "")
    setup.save(update_fields=["auth_method", "token", "found", "address_needed", "values", "stored"])
    setup.installation.stop_waiting()


def take_values(setup: Setup, changes: dict[str, str | None], principal: Principal) -> None:
    setup.set_values(changes, principal.actor)
    setup.save(update_fields=["values", "stored"])


def obtain(
    manifest: Manifest, partner: ConnectorSettings, setup: Setup, changes: Mapping[str, str | None]
) -> tuple[Token, dict[str, str | None]]:
    """The credential that the entered values make or lead to without a browser, and what is left to keep.

    Secrets that are the credential itself go into it and nowhere else; one-time values are used and kept
    nowhere. Raises ProblemError.
    """
    method = manifest.method(setup.auth_method)
    own, once = {}, set()
    for prop in manifest.properties_for(method.key):
        if prop.name in changes and prop.one_time:
            once.add(prop.name)
        elif changes.get(prop.name) and prop.is_secret and method.type in STATIC:
            own[prop.name] = changes[prop.name]
    kept = {name: value for name, value in changes.items() if name not in own and name not in once}
    if method.type in STATIC:
        return Static().obtain(own), kept
    stored = partner.values_for(manifest, method.key)
    values = resolve(manifest, method.key, stored, setup.values or {}, _present(changes))
    try:
        token = DIRECT[method.type]().obtain(
            method, values, fill_scopes(partner.scopes_for(method), values), standing.wanted(manifest)
        )
    except TokenError as error:
        raise ProblemError(error.code, words=error.words) from error
    except BadValue as error:
        raise ProblemError("value_unusable", words=str(error)) from error
    return token, kept


def _present(values: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}


def found_with(
    manifest: Manifest, auth_method: str, token: Token, parameters: Mapping[str, str]
) -> dict[str, str]:
    """System values from a token response and from the answer about consent. Raises ProblemError.

    What comes from outside is not trusted: it has the form that the manifest says, or the setup ends here.
    """
    found = {}
    for prop in manifest.properties_for(auth_method):
        if not (prop.token_response or prop.callback):
            continue
        value = prop.normalised(token.extra.get(prop.token_response, "") or parameters.get(prop.callback, ""))
        if (prop.required and not value) or (value and prop.fault(value)):
            raise ProblemError("provider_answer_unreadable", words=f"no usable {prop.name} in the answer")
        if value:
            found[prop.name] = value[:500]
    return found


def connect_with_values(
    manifest: Manifest,
    partner: ConnectorSettings,
    setup: Setup,
    changes: Mapping[str, str | None],
    principal: Principal,
    link: SetupLink | None,
) -> None:
    """Verify what was entered and connect. It is kept only if it works, or if something else is missing.

    Raises ProblemError, AddressUnknown and ChoiceNeeded, as `connect` does.
    """
    token, kept = obtain(manifest, partner, setup, changes)
    setup.set_values(dict(kept), principal.actor)
    setup.found = found_with(manifest, setup.auth_method, token, {})
    connect(manifest, partner, setup, token, principal, link)


def _known(
    manifest: Manifest, partner: ConnectorSettings, setup: Setup, token: Token, address: Mapping[str, str]
) -> dict[str, str]:
    stored = partner.values_for(manifest, setup.auth_method)
    return resolve(
        manifest, setup.auth_method, stored, setup.values or {}, setup.found, token.values, address
    )


def connect(
    manifest: Manifest,
    partner: ConnectorSettings,
    setup: Setup,
    token: Token,
    principal: Principal,
    link: SetupLink | None,
    **address: str,
) -> Identity:
    """Verify a token at the provider and, only then, change the installation.

    Raises ProblemError; AddressUnknown and ChoiceNeeded after keeping the token for the step that asks.
    """
    method = manifest.method(setup.auth_method)
    values = _known(manifest, partner, setup, token, address)
    try:
        for prop in lookups(manifest, setup):
            offered = verification.options(manifest, method, token, values, prop.lookup)
            if len(offered) > 1:
                _keep(setup, token, address_needed=setup.address_needed)
                raise ChoiceNeeded
            if not offered:
                raise ProblemError("nothing_to_choose", words=prop.label)
            setup.set_values({prop.name: offered[0][0]}, principal.actor)
            values = _known(manifest, partner, setup, token, address)
        identity = verification.verify(manifest, method, token, values)
    except AddressUnknown:
        _keep(setup, token, address_needed=True)
        raise
    except ProblemError as error:
        # None of these says that the credential is wrong, and some are shown to their owner only once.
        if error.code in ("provider_unavailable", "permission_missing", "nothing_to_choose"):
            _keep(setup, token, address_needed=setup.address_needed)
        raise
    # An address entered by hand is kept only as long as the look-up fails: a later one may differ.
    fallbacks: dict[str, str | None] = {prop.name: None for prop in manifest.properties if prop.fallback}
    # The partner's application was used: one of the installation's own, of an earlier time, was not.
    theirs = manifest.client_registration(method.key) & partner.supplied(manifest, method.key)
    changes = fallbacks | address | dict.fromkeys(theirs)
    try:
        _finish(manifest, setup, token, identity, changes, principal, link)
    except ProblemError:
        # Otherwise it would live on at the provider, with nobody here who knows of it.
        ending.end_unused(setup, token, values, identity.account_id)
        raise
    return identity


def lookups(manifest: Manifest, setup: Setup) -> list[Property]:
    """The choices that are still to be made of what the provider offers."""
    return [
        prop
        for prop in manifest.properties_for(setup.auth_method)
        if prop.lookup and prop.name not in setup.stored
    ]


def _keep(setup: Setup, token: Token, *, address_needed: bool) -> None:
    """Hold on to a credential that could not be checked yet. Raises ProblemError if the setup was closed."""
    if not Setup.objects.filter(pk=setup.pk, finished_at=None).exists():
        raise ProblemError("attempt_revoked")
    setup.token, setup.address_needed = token.to_json(), address_needed
    setup.save(update_fields=["auth_method", "token", "found", "address_needed", "values", "stored"])


def _end_what_is_left(row: Installation, manifest: Manifest, auth_method: str, *, another: bool) -> None:
    """Let the grant of the last time be ended at the provider, where that cannot touch the new one.

    Consent that was given anew for the same account is often the same grant there: Google's revocation ends
    all that the account gave this client, the new token with the old. So the old one is left to itself.
    """
    old = Credential.objects.select_related("current").filter(installation=row).first()
    if old and row.definition and (another or not manifest.method(auth_method).is_oauth):
        ending.end(row, old, row.external_account_id if another else "")


def _finish(
    manifest: Manifest,
    setup: Setup,
    token: Token,
    identity: Identity,
    address: dict[str, str | None],
    principal: Principal,
    link: SetupLink | None,
) -> None:
    # What the token was obtained with; another tab may have chosen another way since.
    now, auth_method = timezone.now(), setup.auth_method
    method = manifest.method(auth_method)
    values, stored, found = setup.values, setup.stored, setup.found
    partner = ConnectorSettings.objects.for_connector(setup.partner_id, setup.installation.connector)
    known = _known(manifest, partner, setup, token, {})
    with transaction.atomic():
        # Locked in the order in which a renewal writes them, and a disconnect locks them.
        Credential.objects.select_for_update().filter(installation_id=setup.installation_id).first()
        row = Installation.objects.select_for_update().filter(pk=setup.installation_id).first()
        setup = Setup.objects.select_for_update().filter(pk=setup.pk).first()
        # The provider may have taken its time, and much can end in twenty seconds.
        if not row or not setup or not row.partner.is_active:
            raise ProblemError("attempt_revoked")
        if setup.finished_at:
            raise ProblemError("attempt_used")
        if link and not SetupLink.objects.select_for_update().get(pk=link.pk).is_live:
            raise ProblemError("attempt_revoked")
        if row.disabled_at:
            raise ProblemError("installation_disabled")
        another = row.external_account_id not in ("", identity.account_id)
        if another and not setup.switch_account:
            raise ProblemError(
                "wrong_account",
                words=f"expected {row.external_account_name} ({row.external_account_id}), "
                f"found {identity.account_name} ({identity.account_id})",
            )
        _end_what_is_left(row, manifest, auth_method, another=another)
        version = CredentialVersion.objects.create(
            partner_id=row.partner_id, installation=row, **standing.version_fields(method, token, known)
        )
        # A renewal that is under way has nothing to write any more: its lease is gone.
        fresh = {"lease": uuid4(), "lease_until": None, "retry_at": None, "unknown_since": None}
        fresh |= {"current": version, "problem": "", "attempts": 0, "failing_since": None}
        is_new = not Credential.objects.filter(installation=row).update(**fresh)
        if is_new:
            Credential.objects.create(partner_id=row.partner_id, installation=row, **fresh)
        # The grant of the last time is superseded as a whole.
        CredentialVersion.objects.filter(installation=row).exclude(pk=version.pk).delete()
        # What was entered for another way is of no use, and a secret of no use is not kept.
        used = {prop.name for prop in manifest.properties_for(auth_method)}
        setup.values, setup.stored = values, stored
        setup.set_values({**address, **dict.fromkeys(stored.keys() - used)}, principal.actor)
        row.values, row.stored = setup.values, setup.stored
        row.release_id = setup.release_id
        row.auth_method, row.discovered = auth_method, {**found, **identity.discovered}
        row.client_digest = "" if standing.has_own_client(row) else version.client_digest
        row.external_account_id, row.external_account_name = identity.account_id, identity.account_name
        row.status, row.problem = Status.CONNECTED, ""
        row.connected_by, row.connected_at, row.last_worked_at = principal.actor, now, now
        for name, value in standing.installation_fields(partner, method, token, known).items():
            setattr(row, name, value)
        row.save()
        jobs.cancel("renew", row.pk)
        if at := standing.renew_at(method, token, clock.now()):
            jobs.schedule("renew", row.pk, row.partner_id, at)
        jobs.schedule("check", row.pk, row.partner_id, health.next_check(manifest, clock.now()))
        if row.is_tryout:
            drafts.note_tried(row.partner_id, row.connector, row.release_id)
        setup.finished_at, setup.values, setup.stored, setup.token, setup.found = now, None, {}, None, {}
        setup.save()
        if link:
            SetupLink.objects.filter(pk=link.pk).update(completed_at=now)
        # The others were for the same setup, which is done.
        SetupLink.objects.filter(installation=row, completed_at=None, revoked_at=None).update(revoked_at=now)
        Event.objects.record(
            "installation.connected",
            principal,
            f"Connected to {identity.account_name}"[:300] if identity.account_name else "Connected",
            subject=row,
            account=identity.account_id,
            switched=another,
            signed_in_as=identity.user_name,
        )
        what = "installation.connected" if is_new else "installation.reauthorised"
        announce(what, installation=row, data={"switched_account": another})
        if link:
            announce("setup_link.completed", installation=row, data={"setup_link_id": str(link.pk)})
