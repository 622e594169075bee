"""From what was entered or consented to, to a verified installation. HTTP here, rows here."""

from django.db import transaction
from django.utils import timezone

from connectors import registry
from connectors.manifest import Manifest, Property
from connectors.models import ConnectorSettings
from console.models import Event
from console.problems import ProblemError
from console.tenancy import Principal
from installations.auth import METHODS, Token
from installations.models import Credential, CredentialVersion, Installation, Setup, SetupLink, Status
from installations.verification import AddressUnknown, Identity, verify


def begin(installation: Installation, principal: Principal) -> Setup:
    """The installation's open setup, a new one where there is none.

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
        setup.values, setup.stored = row.values, row.stored
        setup.save()
        Event.objects.record("setup.opened", principal, "A setup was opened", subject=row)
        return setup


def _take_over(setup: Setup, principal: Principal) -> None:
    """Go on with what somebody else began: with their choices, not with their secrets."""
    manifest = registry.get(setup.installation.connector).manifest
    public = {prop.name for prop in manifest.properties if not prop.secret}
    setup.set_values(dict.fromkeys(setup.stored.keys() - public), principal.actor)
    setup.setup_link_id, setup.reviewed_at = principal.setup_link_id, None
    setup.token, setup.address_needed = None, False
    setup.save()


def asked(manifest: Manifest, partner: ConnectorSettings, auth_method: str) -> list[Property]:
    """What this installation must be asked: what belongs to the account, and what the partner left blank."""
    return [
        prop
        for prop in manifest.properties
        if auth_method in prop.auth_methods
        and not prop.fallback
        and (prop.level == "account" or prop.name not in partner.supplied(manifest))
    ]


def choose_method(setup: Setup, auth_method: str) -> None:
    """Another method than before forgets what was obtained by the other one."""
    setup.auth_method = auth_method
    setup.token, setup.address_needed = None, False
    setup.save(update_fields=["auth_method", "token", "address_needed"])
    setup.installation.stop_waiting()


def take_values(setup: Setup, changes: dict[str, str | None], principal: Principal) -> None:
    setup.set_values(changes, principal.actor)
    setup.save(update_fields=["values", "stored"])


def connect_with_key(
    manifest: Manifest, setup: Setup, values: dict[str, str], principal: Principal, link: SetupLink | None
) -> None:
    """Verify a pasted key and connect. It is kept only if it works, or if only its address is missing.

    Raises ProblemError, and AddressUnknown where the next step must ask for the address.
    """
    token = METHODS[setup.auth_method]().obtain(values)
    connect(manifest, setup, token, principal, link)


def connect(
    manifest: Manifest,
    setup: Setup,
    token: Token,
    principal: Principal,
    link: SetupLink | None,
    **address: str,
) -> Identity:
    """Verify a token at the provider and, only then, change the installation.

    Raises ProblemError, and AddressUnknown after keeping the token for the step that asks.
    """
    try:
        identity = verify(manifest, manifest.method(setup.auth_method), token, address)
    except AddressUnknown:
        _keep(setup, token, address_needed=True)
        raise
    except ProblemError as error:
        # Neither says that the credential is wrong, and some are shown to their owner only once.
        if error.code in ("provider_unavailable", "permission_missing"):
            _keep(setup, token, address_needed=setup.address_needed)
        raise
    # An address entered by hand is kept only as long as the look-up fails: a later one may differ.
    fallbacks: dict[str, str | None] = {prop.name: None for prop in manifest.properties if prop.fallback}
    _finish(manifest, setup, token, identity, fallbacks | address, principal, link)
    return identity


def _keep(setup: Setup, token: Token, *, address_needed: bool) -> None:
    """Hold on to a credential that could not be checked yet. Raises ProblemError if the setup was closed."""
    if not Setup.objects.filter(pk=setup.pk, finished_at=None).exists():
        raise ProblemError("attempt_revoked")
    setup.token, setup.address_needed = token.to_json(), address_needed
    setup.save(update_fields=["auth_method", "token", "address_needed"])


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
    with transaction.atomic():
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
        version = CredentialVersion.objects.create(
            partner_id=row.partner_id,
            installation=row,
            token=token.to_json(),
            granted_scopes=" ".join(token.granted_scopes or ()),
            expires_at=token.expires_at,
        )
        Credential.objects.update_or_create(
            installation=row, defaults={"partner_id": row.partner_id, "current": version}
        )
        # The grant of the last time is superseded as a whole.
        CredentialVersion.objects.filter(installation=row).exclude(pk=version.pk).delete()
        # What was entered for another way is of no use, and a secret of no use is not kept.
        used = {prop.name for prop in manifest.properties if auth_method in prop.auth_methods}
        setup.set_values({**address, **dict.fromkeys(setup.stored.keys() - used)}, principal.actor)
        row.values, row.stored = setup.values, setup.stored
        row.auth_method, row.discovered = auth_method, identity.discovered
        row.external_account_id, row.external_account_name = identity.account_id, identity.account_name
        row.status, row.problem = Status.CONNECTED, ""
        row.connected_by, row.connected_at, row.last_worked_at = principal.actor, now, now
        row.save()
        setup.finished_at, setup.values, setup.stored, setup.token = now, None, {}, None
        setup.save()
        if link:
            SetupLink.objects.filter(pk=link.pk).update(completed_at=now)
        # The others were for the same setup, which is done.
        SetupLink.objects.filter(installation=row, completed_at=None, revoked_at=None).update(revoked_at=now)
        Event.objects.record(
            "installation.connected",
            principal,
            f"Connected to {identity.account_name}"[:300],
            subject=row,
            account=identity.account_id,
            switched=another,
            signed_in_as=identity.user_name,
        )


def test(manifest: Manifest, installation: Installation, principal: Principal, reference: str) -> Identity:
    """Call the provider with the stored credential and note what came of it. Raises ProblemError.

    An outage at the provider says nothing about the credential and changes nothing.
    """
    if installation.disabled_at:
        raise ProblemError("installation_disabled")
    version = installation.current_version()
    if version is None:
        raise ProblemError("credential_rejected", words="no credential is stored")
    token = Token.from_json(version.token)
    try:
        identity = verify(
            manifest,
            manifest.method(installation.auth_method),
            token,
            fallback_values(manifest, installation),
        )
        if identity.account_id != installation.external_account_id:
            raise ProblemError("wrong_account", words=identity.account_id)
    except (ProblemError, AddressUnknown) as error:
        if isinstance(error, AddressUnknown):
            error = ProblemError("provider_unavailable", words=str(error))
        if error.code in ("credential_rejected", "permission_missing", "wrong_account"):
            installation.need_attention(error.code, version)
        Event.objects.record(
            "installation.test_failed",
            principal,
            "The test failed",
            subject=installation,
            reference=reference,
            code=error.code,
            words=error.words,
        )
        raise error from None
    installation.worked(version)
    Event.objects.record("installation.tested", principal, "The test passed", subject=installation)
    return identity


def fallback_values(manifest: Manifest, installation: Installation) -> dict[str, str]:
    """The address that was entered by hand at this installation, if it was."""
    values = installation.values or {}
    return {
        prop.name: values[prop.name] for prop in manifest.properties if prop.fallback and prop.name in values
    }
