"""What only the partner can mend: one alert for each cause, however many installations feel it."""

from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import F

from connectors import catalogue
from console import clock
from console.models import Event
from console.problems import PROBLEMS
from console.tenancy import Principal
from installations.models import Alert, Circuit, Installation, Status
from installations.notices import items

# An alert that nobody has met for so long is looked at again.
QUIET = timedelta(hours=1)

MENDED_BY = {
    "invalid_client": "Copy the Client ID and the Client Secret of your application at {connector} once "
    "more, and store them under Settings.",
    "redirect_uri_mismatch": "Register the redirect URI that stands under Settings with your application "
    "at {connector}.",
    "configuration_refused": "Compare the scopes under Settings with those that your application at "
    "{connector} may ask for.",
}


def mended_by(code: str, connector: str) -> str:
    """What the partner can do about it, in one sentence."""
    return MENDED_BY.get(code, "Check what is stored under Settings.").format(connector=connector)


# Who acts where nobody does: the record's name for the product itself.
ACTOR = "Partner Console"


def itself(partner_id) -> Principal:
    return Principal(partner_id=partner_id, actor=ACTOR)


def raise_alert(partner_id, connector: str, code: str, name: str, words: str = "") -> None:
    """Open an alert, or count one more of the same. `name` is the connector's, as people say it."""
    now = clock.now()
    open_one = Alert.objects.filter(partner_id=partner_id, connector=connector, code=code, closed_at=None)
    if open_one.update(times=F("times") + 1, last_at=now):
        return
    try:
        with transaction.atomic():
            alert = Alert.objects.create(
                partner_id=partner_id, connector=connector, code=code, words=words[:300]
            )
            Event.objects.record(
                "alert.opened",
                itself(partner_id),
                PROBLEMS[code].title.format(connector=name, partner="")[:300],
                subject=alert,
                connector=connector,
                code=code,
                words=words[:300],
            )
            items.note(partner_id, f"alert:{alert.pk}")
    except IntegrityError:  # another process met the same
        open_one.update(times=F("times") + 1, last_at=now)


def close_alerts(partner_id, connector: str, *codes: str) -> None:
    """Nothing is wrong any more: a renewal succeeded, or the partner changed what was wrong."""
    rows = Alert.objects.filter(partner_id=partner_id, connector=connector, closed_at=None)
    for row in rows.filter(code__in=codes) if codes else rows:
        _close(row)


def _close(row: Alert) -> None:
    with transaction.atomic():
        if not Alert.objects.filter(pk=row.pk, closed_at=None).update(closed_at=clock.now()):
            return
        name = catalogue.names(row.partner_id, [row.connector])[row.connector]
        Event.objects.record(
            "alert.closed",
            itself(row.partner_id),
            f"Over: {PROBLEMS[row.code].title.format(connector=name, partner='')}"[:300],
            subject=row,
            connector=row.connector,
            code=row.code,
        )


def close_what_is_over() -> None:
    """Alerts whose provider lets renewals through again, or where nothing is left to be renewed."""
    rows = Alert.objects.filter(closed_at=None, code__in=MENDED_BY, last_at__lt=clock.now() - QUIET)
    for row in rows:
        same = {"partner_id": row.partner_id, "connector": row.connector}
        in_use = Installation.objects.filter(**same, status__in=(Status.CONNECTED, Status.ATTENTION))
        if not in_use.exists() or not Circuit.objects.filter(**same).exists():
            _close(row)
