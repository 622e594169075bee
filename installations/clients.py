"""A partner's OAuth client at a provider: who lives by it, and what follows when the partner replaces it."""

import time
from datetime import timedelta

from django.db import transaction
from django.db.models import Q, QuerySet

from connectors import catalogue
from connectors.manifest import Manifest
from connectors.models import ConnectorSettings
from console import clock, jobs
from console.jobs import Again, Claim, handler
from console.models import Event
from console.problems import ProblemError
from console.tenancy import Principal
from installations import alerts, attention, circuits, links, standing
from installations.models import Credential, Installation, SetupLink, Status
from installations.refused import PARTNERS
from installations.values import BadValue, resolve

LINKS_WANTED = "setup_link.wanted"


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


def _with_a_client(principal: Principal, settings: ConnectorSettings) -> QuerySet:
    """Those that live by any client of the partner's, written as the index has it."""
    rows = Installation.objects.visible_to(principal)
    return rows.filter(~Q(client_digest=""), connector=settings.connector)


def used_by(principal: Principal, manifest: Manifest, settings: ConnectorSettings) -> int:
    """How many installations live by the client that is stored now."""
    rows = _with_a_client(principal, settings)
    return rows.filter(client_digest__in=set(_digests(manifest, settings.values or {}).values())).count()


def would_lose(principal: Principal, manifest: Manifest, settings: ConnectorSettings, changes: dict) -> int:
    """How many installations must be authorised again once these changes are stored."""
    stored = settings.values or {}
    after = {name: value for name, value in {**stored, **changes}.items() if value is not None}
    lost = set(_digests(manifest, stored).values()) - set(_digests(manifest, after).values())
    rows = _with_a_client(principal, settings)
    return rows.filter(client_digest__in=lost, auth_method__in=_by_consent(manifest)).count() if lost else 0


def _by_consent(manifest: Manifest) -> list[str]:
    return [method.key for method in manifest.auth_methods if method.is_interactive]


def of_an_earlier_one(principal: Principal, manifest: Manifest, settings: ConnectorSettings) -> QuerySet:
    """The installations whose access was given to another client of the partner than today's.

    A token belongs to its client (RFC 6749, section 10.4). One that the account brought itself is nobody's
    earlier one.
    """
    now = set(_digests(manifest, settings.values or {}).values())
    rows = _with_a_client(principal, settings)
    rows = rows.filter(is_tryout=False, auth_method__in=_by_consent(manifest))
    # In the order of the index.
    return rows.exclude(client_digest__in=now).order_by("client_digest", "pk")


def with_addresses(rows: list[Installation]) -> list[Installation]:
    """The rows, each with `address`, where a link would go, and `sent_at`, when one that is open went."""
    sent = SetupLink.objects.filter(installation__in=rows).exclude(email="")
    latest = {link.installation_id: link for link in sent.order_by("created_at")}
    for row in rows:
        link = latest.get(row.pk)
        row.address = row.account.email or (link.email if link else "")
        row.sent_at = link.created_at if link and link.is_live else None
    return rows


# ── what follows when the partner has changed its values ────────────────────────────────────────


def change(principal: Principal, settings: ConnectorSettings, values: dict, **how) -> bool:
    """Store the partner's values, as ConnectorSettings.change does, with what follows: both or nothing."""
    with transaction.atomic():
        if is_changed := settings.change(principal, values, **how):
            _changed(settings)
    return is_changed


def _changed(settings: ConnectorSettings) -> None:
    """What was refused because of the values before is tried again with those of now."""
    alerts.close_alerts(settings.partner_id, settings.connector, *PARTNERS)
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
    waited = Q(problem__in=PARTNERS)
    back = Q(problem="client_changed", current__client_digest__in=set(digests.values()))
    rows = Credential.objects.filter(partner_id=settings.partner_id)
    rows = rows.filter(waited | back, installation__connector=settings.connector)
    for row in rows.select_related("installation").iterator():
        same = Credential.objects.filter(pk=row.pk, current_id=row.current_id, lease_until=None)
        # Together: one that waits no more and has no job would be found by nobody.
        with transaction.atomic():
            if same.update(retry_at=None, problem=""):
                waiting = Installation.objects.filter(pk=row.installation_id, problem="client_changed")
                if waiting.update(status=Status.CONNECTED, problem=""):
                    attention.works_again(row.installation)
                jobs.schedule("renew", row.installation_id, row.partner_id)
        if time.monotonic() > until:
            # The rest in a moment: what is done no longer waits.
            with claim.finish(clock.now()):
                return


# ── links to all of them ────────────────────────────────────────────────────────────────────────


def send_links(principal: Principal, settings: ConnectorSettings) -> None:
    """Let everybody who must authorise again, and has an address, get a link."""
    with transaction.atomic():
        Event.objects.record(
            LINKS_WANTED, principal, "Everybody who must authorise again gets a setup link", subject=settings
        )
        jobs.schedule("send_links", settings.pk, settings.partner_id)


def _wanted(settings: ConnectorSettings | None) -> tuple[QuerySet, Event] | None:
    """Who was to get a link when somebody last asked for that, and still is, and the record of it."""
    connector = settings and catalogue.get(settings.partner_id, settings.connector)
    if connector is None:
        return None
    noted = Event.objects.filter(partner_id=settings.partner_id, subject_id=settings.pk, kind=LINKS_WANTED)
    rows = of_an_earlier_one(alerts.itself(settings.partner_id), connector.manifest, settings)
    return (rows.filter(disabled_at=None), event) if (event := noted.first()) else None


@handler("send_links", lease_seconds=600)
def wake_senders(claim: Claim) -> None:
    """A job for each of them, so that one mail that fails keeps none of the others."""
    found = _wanted(ConnectorSettings.objects.filter(pk=claim.subject_id).first())
    for key in list(found[0].values_list("pk", flat=True)) if found else ():
        jobs.schedule("send_link", key, claim.job.partner_id)


@handler("send_link", tries=50)
def send_link(claim: Claim) -> None:
    """Mail a setup link to the customer of one installation. Raises Again."""
    rows = Installation.objects.select_related("partner", "account")
    row = rows.filter(pk=claim.subject_id, partner__is_active=True).first()
    found = row and _wanted(ConnectorSettings.objects.for_connector(row.partner_id, row.connector))
    if not found or not found[0].filter(pk=row.pk).exists():
        # It has been authorised meanwhile, or switched off.
        return
    (row,), asked = with_addresses([row]), found[1]
    if not row.address or row.sent_at:
        # One is on its way: from a worker that was killed, or sent by hand.
        return
    by = Principal(partner_id=row.partner_id, actor=asked.actor)
    try:
        link, _ = links.send(row, by, email=row.address)
    except ProblemError:
        # So many mails a minute and no more: its turn comes, and that was no try.
        with claim.finish(clock.now() + timedelta(minutes=1)):
            return
    if not link.mailed:
        link.revoke()
        raise Again("mail_not_sent")
