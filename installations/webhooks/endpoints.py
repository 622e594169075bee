"""What may be done with the endpoints of a partner, by its people and by its programs.

Whoever calls has looked the rows up with `visible_to`. Each thing that is done stands on the record.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction

from console import clock, throttle
from console.http import LOOPBACK, PORTS
from console.models import Event, Partner
from console.problems import ProblemError
from console.return_urls import is_return_url
from console.tenancy import Principal
from installations.models import DeliveryState, WebhookDelivery, WebhookEndpoint
from installations.webhooks import delivery, outbox, signing
from installations.webhooks.types import BY_HAND, TEST, TYPES

AT_MOST = 20
# So long both secrets sign, unless somebody says otherwise.
OVERLAP, LONGEST_OVERLAP = timedelta(hours=24), timedelta(days=7)


def check_url(url: str) -> None:
    """Raises ValidationError. Where a name leads to is looked at each time that something is sent."""
    if settings.DEVELOPMENT and _is_local(url):
        return
    if not is_return_url(url) or urlsplit(url).port not in (None, *PORTS):
        raise ValidationError(
            "An address such as https://app.example.com/webhooks: https, a host name, port 443 or 8443."
        )


def _is_local(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme == "http" and parts.hostname in LOOPBACK and len(url) <= 500
    except ValueError:
        return False


def _checked(endpoint: WebhookEndpoint) -> WebhookEndpoint:
    """With each of its types once, in our order. Raises ValidationError."""
    faults = {}
    try:
        check_url(endpoint.url)
    except ValidationError as error:
        faults["url"] = error
    if unknown := [name for name in endpoint.types if name not in TYPES]:
        faults["types"] = ValidationError(f"Nothing is called “{str(unknown[0])[:50]}”.")
    try:
        endpoint.clean_fields(
            exclude={field.name for field in endpoint._meta.fields} - {"url", "description"}
        )
    except ValidationError as error:
        faults = error.error_dict | faults
    if faults:
        raise ValidationError(faults)
    endpoint.types = [name for name in TYPES if name in endpoint.types]
    return endpoint


def create(
    principal: Principal,
    *,
    url: str,
    description: str = "",
    types: Iterable[str] = (),
    id: UUID | None = None,
) -> tuple[WebhookEndpoint, str]:
    """A new endpoint and its secret, which is known only now. No types: all. Raises ValidationError."""
    endpoint = WebhookEndpoint(
        id=id or uuid4(),
        partner_id=principal.partner_id,
        url=url,
        description=description,
        types=list(types),
        created_by=principal.actor,
    )
    endpoint.secret = secret = signing.new_secret()
    _checked(endpoint)
    with transaction.atomic():
        # Counted by one at a time.
        Partner.objects.select_for_update().get(pk=principal.partner_id)
        if WebhookEndpoint.objects.filter(partner_id=principal.partner_id).count() >= AT_MOST:
            raise ValidationError(f"At most {AT_MOST} endpoints: delete one first.")
        endpoint.save(force_insert=True)
        _record(principal, endpoint, "added", "was added")
    return endpoint, secret


def change(principal: Principal, endpoint: WebhookEndpoint, **fields) -> None:
    """`fields` are url, description and types. Raises ValidationError, with nothing changed."""
    for name, value in fields.items():
        setattr(endpoint, name, value)
    _checked(endpoint)
    if "url" in fields:
        # What was wrong with the other address says nothing of this one.
        endpoint.failing_since = endpoint.rests_until = None
        fields |= {"failing_since": None, "rests_until": None}
    with transaction.atomic():
        endpoint.save(update_fields=list(fields))
        _record(principal, endpoint, "changed", "was changed")


def rotate_secret(principal: Principal, endpoint: WebhookEndpoint, *, overlap: timedelta = OVERLAP) -> str:
    """A new secret, known only now. The one before signs as well for so long; not at all where that is 0."""
    secret = signing.new_secret()
    with transaction.atomic():
        row = WebhookEndpoint.objects.select_for_update().get(pk=endpoint.pk)
        row.previous_secret = row.secret if overlap else None
        row.previous_until = clock.now() + min(overlap, LONGEST_OVERLAP) if overlap else None
        row.secret = secret
        row.save(update_fields=["secret", "previous_secret", "previous_until"])
        _record(principal, row, "secret_rotated", "got a new secret")
    return secret


def switch(principal: Principal, endpoint: WebhookEndpoint, *, on: bool) -> None:
    """Off: nothing that happens from now on is told there. On: what still waits is sent."""
    with transaction.atomic():
        if not on:
            if endpoint.disable(BY_HAND):
                _record(principal, endpoint, "disabled", "was switched off")
            return
        rows = WebhookEndpoint.objects.filter(pk=endpoint.pk, disabled_at__isnull=False)
        fresh = {"disabled_at": None, "disabled_reason": "", "failing_since": None, "rests_until": None}
        if rows.update(**fresh):
            _record(principal, endpoint, "enabled", "was switched on")
            _begin(endpoint)


def remove(principal: Principal, endpoint: WebhookEndpoint) -> None:
    """Delete it with the log of what was sent there."""
    with transaction.atomic():
        _record(principal, endpoint, "deleted", "was deleted")
        WebhookDelivery.objects.filter(endpoint=endpoint).delete()
        endpoint.delete()


def test(principal: Principal, endpoint: WebhookEndpoint) -> WebhookDelivery:
    """Send it a message that says nothing. Raises ProblemError: webhook_endpoint_off, too_many_tries."""
    throttle.spend(f"webhook-test:{endpoint.pk}", per_minute=20)
    _must_be_on(endpoint)
    with transaction.atomic():
        data = {"endpoint_id": str(endpoint.pk)}
        message = outbox.write(TEST, endpoint.partner_id, [endpoint], data)
    return WebhookDelivery.objects.get(message=message, endpoint=endpoint)


def send_again(principal: Principal, row: WebhookDelivery) -> None:
    """At once, with the same id, and from the first try on. Raises ProblemError: webhook_endpoint_off."""
    _must_be_on(row.endpoint)
    with transaction.atomic():
        _anew(WebhookDelivery.objects.filter(pk=row.pk))
        _record(principal, row.endpoint, "sent_again", f"is sent {row.message_id} again")
        _begin(row.endpoint)


def replay(
    principal: Principal, endpoint: WebhookEndpoint, since: datetime, until: datetime | None = None
) -> int:
    """Send again what failed of what happened in that time, oldest first; how many messages that are.

    Raises ProblemError: webhook_endpoint_off.
    """
    _must_be_on(endpoint)
    rows = WebhookDelivery.objects.filter(
        endpoint=endpoint,
        state=DeliveryState.FAILED,
        created_at__gte=since,
        created_at__lte=until or clock.now(),
    )
    with transaction.atomic():
        if count := _anew(rows):
            _record(principal, endpoint, "replayed", f"is sent {count} failed messages again")
            _begin(endpoint)
    return count


def _anew(rows) -> int:
    return rows.update(state=DeliveryState.PENDING, attempts=0, next_at=clock.now())


def _must_be_on(endpoint: WebhookEndpoint) -> None:
    if not endpoint.is_active:
        raise ProblemError("webhook_endpoint_off")


def _begin(endpoint: WebhookEndpoint) -> None:
    transaction.on_commit(lambda: delivery.begin(endpoint.partner_id, [endpoint.pk]), robust=True)


def _record(principal: Principal, endpoint: WebhookEndpoint, kind: str, what: str) -> None:
    text = f"The webhook endpoint “{endpoint}” {what}"
    Event.objects.record(f"webhook_endpoint.{kind}", principal, text[:300], subject=endpoint)
