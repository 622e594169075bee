"""A partner's OAuth client at a provider: who lives by it, and what follows when the partner replaces it."""

import time
from datetime import timedelta

from django.db.models import OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce, NullIf

from connectors import catalogue
from connectors.manifest import Manifest
from connectors.models import ConnectorSettings
from console import clock, jobs
from console.jobs import Again, Claim, handler
from console.models import Event
from console.problems import ProblemError
from console.tenancy import Principal
from installations import alerts, circuits, links, renewing, standing
from installations.models import Credential, CredentialVersion, Installation, SetupLink, Status
from installations.values import BadValue, resolve

HELD = [Status.CONNECTED, Status.ATTENTION]


def _digests(manifest: Manifest, values: dict) -> dict[str, str]:
    """By auth method, what names the client that these values of the partner make."""
    found = {}
    for method in manifest.auth_methods:
        client = manifest.client_registration(method.key)
        if method.is_oauth and client and client <= values.keys():
            try:
                found[method.key] = standing.client_digest(method, resolve(manifest, method.key, values))
            except BadValue:
                continue
    return found


def used_by(principal: Principal, manifest: Manifest, settings: ConnectorSettings) -> int:
    """How many installations live by the client that is stored now."""
    rows = CredentialVersion.objects.visible_to(principal)
    digests = set(_digests(manifest, settings.values or {}).values())
    return rows.filter(client_digest__in=digests, installation__connector=settings.connector).count()


def would_lose(principal: Principal, manifest: Manifest, settings: ConnectorSettings, changes: dict) -> int:
    """How many installations must be authorised again once these changes are stored."""
    stored = settings.values or {}
    after = {name: value for name, value in {**stored, **changes}.items() if value is not None}
    before, then = (_digests(manifest, values) for values in (stored, after))
    lost = Q(pk__in=[])
    for key, digest in before.items():
        if manifest.method(key).is_interactive and then.get(key) != digest:
            lost |= Q(client_digest=digest, installation__auth_method=key)
    rows = CredentialVersion.objects.visible_to(principal)
    return rows.filter(lost, installation__connector=settings.connector).count()


def of_an_earlier_one(principal: Principal, manifest: Manifest, settings: ConnectorSettings) -> QuerySet:
    """The installations whose access was given to another client of the partner than today's.

    A token belongs to its client (RFC 6749, section 10.4). One that the account brought itself is nobody's
    earlier one. Each with `address`, where a link for it would go, and `sent_at`, when one that is open went.
    """
    found = Q(pk__in=[])
    for key, digest in _digests(manifest, settings.values or {}).items():
        if manifest.method(key).is_interactive:
            own = Q(stored__has_any_keys=sorted(manifest.client_registration(key)))
            others = Q(credential__current__client_digest__gt="")
            found |= Q(auth_method=key) & others & ~Q(credential__current__client_digest=digest) & ~own
    rows = Installation.objects.visible_to(principal).filter(found, status__in=HELD)
    rows = rows.filter(connector=settings.connector, is_tryout=False)
    sent = SetupLink.objects.filter(installation=OuterRef("pk")).exclude(email="").order_by("-created_at")
    live = sent.filter(completed_at=None, revoked_at=None, expires_at__gt=clock.now())
    return rows.annotate(
        address=Coalesce(NullIf("account__email", Value("")), Subquery(sent.values("email")[:1]), Value("")),
        sent_at=Subquery(live.values("created_at")[:1]),
    )


# ── what follows when the partner has changed its values ────────────────────────────────────────


def changed(settings: ConnectorSettings) -> None:
    """What was refused because of the values before is tried again with those of now."""
    alerts.close_alerts(settings.partner_id, settings.connector, *renewing.PARTNERS)
    circuits.succeeded(settings.partner_id, settings.connector)
    jobs.schedule("settings", settings.pk, settings.partner_id)


@handler("settings", lease_seconds=60)
def settings_changed(claim: Claim) -> None:
    """Renew what waited for the partner, and what belongs to today's client again."""
    settings = ConnectorSettings.objects.filter(pk=claim.subject_id).first()
    connector = settings and catalogue.get(settings.partner_id, settings.connector)
    if connector is None:
        return
    digests = _digests(connector.manifest, settings.values or {})
    until = time.monotonic() + 20
    waited = Q(retry_at__isnull=False) & Q(problem__in=renewing.PARTNERS)
    back = Q(problem="client_changed", current__client_digest__in=set(digests.values()))
    rows = Credential.objects.filter(partner_id=settings.partner_id)
    rows = rows.filter(waited | back, installation__connector=settings.connector)
    for row in rows.select_related("installation").iterator():
        same = Credential.objects.filter(pk=row.pk, current_id=row.current_id, lease_until=None)
        if same.update(retry_at=None, problem=""):
            attention = Installation.objects.filter(pk=row.installation_id, problem="client_changed")
            attention.update(status=Status.CONNECTED, problem="")
            jobs.schedule("renew", row.installation_id, row.partner_id)
        if time.monotonic() > until:
            # The rest in a moment: what is done no longer waits.
            with claim.finish(clock.now()):
                return


# ── links to all of them ────────────────────────────────────────────────────────────────────────


def reachable(rows: QuerySet) -> QuerySet:
    """Of those that must authorise again, the ones to whom a link can be sent and none is on its way."""
    return rows.exclude(address="").filter(sent_at=None, disabled_at=None)


def send_links(principal: Principal, manifest: Manifest, settings: ConnectorSettings) -> int:
    """Let everybody who must authorise again, and has an address, get a link; how many that are."""
    rows = reachable(of_an_earlier_one(principal, manifest, settings))
    keys = list(rows.values_list("pk", flat=True))
    for key in keys:
        Event.objects.record("setup_link.wanted", principal, "A setup link is to be sent", subject=key)
        jobs.schedule("send_link", key, principal.partner_id)
    return len(keys)


@handler("send_link", tries=50)
def send_link(claim: Claim) -> None:
    """Mail a setup link to the customer of one installation. Raises Again."""
    row = Installation.objects.select_related("partner").filter(pk=claim.subject_id, disabled_at=None).first()
    if row is None or not row.partner.is_active or row.definition is None:
        return
    sent = row.setuplink_set.exclude(email="").order_by("-created_at")
    wanted = Event.objects.filter(
        partner_id=row.partner_id, subject_id=row.pk, kind="setup_link.wanted"
    ).first()
    email = row.account.email or sent.values_list("email", flat=True).first()
    if not email or not wanted or sent.filter(created_at__gt=wanted.at).exists():
        # A worker that was killed may have sent it.
        return
    try:
        link, _ = links.send(row, Principal(partner_id=row.partner_id, actor=wanted.actor), email=email)
    except ProblemError as error:
        raise Again(error.code, timedelta(minutes=1)) from error
    if not link.mailed:
        link.revoke()
        raise Again("mail_not_sent")
