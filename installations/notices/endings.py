"""What ends soon: looked for each hour, told a few times ahead."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Exists, OuterRef

from connectors.models import ConnectorSettings
from console import clock, jobs
from console.jobs import Claim, handler
from console.models import Partner
from installations import alerts
from installations.models import DigestItem, Installation, Status
from installations.notices import items

EVERY = timedelta(hours=1)
# Days ahead of the end of a customer's access, and of the day a partner has noted for its own secret.
GRANT, SECRET = (1, 7), (1, 7, 30, 60)
# Longer than any of them.
FORGET_AFTER = timedelta(days=100)
# The subject of the one job that looks.
NOBODY = UUID(int=0)


def begin() -> None:
    """Look now, and each hour from then on."""
    jobs.schedule("look_ahead", NOBODY, None)


@handler("look_ahead", lease_seconds=600)
def look_ahead(claim: Claim) -> None:
    now = clock.now()
    alerts.close_what_is_over()
    DigestItem.objects.filter(told_at__lt=now - FORGET_AFTER).delete()
    for partner in Partner.objects.filter(is_active=True):
        _note(partner, _secrets(partner, now))
        for installation_id in _note(partner, _grants(partner, now)):
            if partner.tells_customers:
                jobs.schedule("tell", UUID(installation_id), partner.pk)
    # Noted at the very moment when a digest came to its end.
    left = DigestItem.objects.filter(partner=OuterRef("pk"), told_at=None)
    for partner in Partner.objects.filter(Exists(left), is_active=True):
        items.gather(partner.pk)
    with claim.finish(now + EVERY):
        pass


def _note(partner: Partner, abouts: Iterator[str]) -> list[str]:
    """Note what was not noted before; the subjects of that."""
    subjects = []
    for some in items.chunks(abouts):
        rows = DigestItem.objects.filter(partner=partner, about__in=some)
        known = set(rows.values_list("about", flat=True))
        new = [about for about in some if about not in known]
        if new:
            items.note(partner.pk, *new)
        subjects += [about.split(":")[1] for about in new]
    return subjects


def _mark(left: timedelta, marks: tuple[int, ...]) -> int | None:
    return next((days for days in marks if left <= timedelta(days=days)), None)


def _secrets(partner: Partner, now: datetime) -> Iterator[str]:
    today = now.date()
    last = today + timedelta(days=SECRET[-1])
    rows = ConnectorSettings.objects.filter(partner=partner, secret_expires_on__range=(today, last))
    for slug, day in rows.values_list("connector", "secret_expires_on"):
        yield f"secret:{slug}:{day}:{_mark(day - today, SECRET)}"


def _grants(partner: Partner, now: datetime) -> Iterator[str]:
    rows = Installation.objects.filter(
        partner=partner,
        status=Status.CONNECTED,
        disabled_at=None,
        is_tryout=False,
        grant_expires_at__gt=now,
        grant_expires_at__lte=now + timedelta(days=GRANT[-1]),
    )
    for pk, end, since in rows.values_list("pk", "grant_expires_at", "connected_at").iterator():
        days = _mark(end - now, GRANT)
        # Of what is given for a week, a warning a week ahead says nothing.
        if since is None or end - since >= timedelta(days=2 * days):
            yield f"grant:{pk}:{end.date()}:{days}"
