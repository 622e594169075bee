"""What only the partner can mend: one alert for each cause, however many installations feel it."""

from django.db import IntegrityError, transaction
from django.db.models import F

from console import clock
from console.models import Event
from console.problems import PROBLEMS
from console.tenancy import Principal
from installations.models import Alert

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
    except IntegrityError:  # another process met the same
        open_one.update(times=F("times") + 1, last_at=now)


def close_alerts(partner_id, connector: str, *codes: str) -> None:
    """Nothing is wrong any more: a renewal succeeded, or the partner changed what was wrong."""
    rows = Alert.objects.filter(partner_id=partner_id, connector=connector, closed_at=None)
    (rows.filter(code__in=codes) if codes else rows).update(closed_at=clock.now())
