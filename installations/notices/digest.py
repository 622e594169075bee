"""One message to a partner's people about all that is new, at most once an hour."""

from datetime import datetime, timedelta

from console import clock
from console.jobs import Claim, handler
from console.models import Membership, Partner
from installations.models import DigestItem, Notice
from installations.notices import items, mailing
from installations.notices.matters import Matters

EVERY = timedelta(hours=1)


def readers(partner: Partner) -> list[str]:
    """The addresses of its people who want it."""
    rows = Membership.objects.filter(partner=partner, wants_digest=True, user__is_active=True)
    return sorted(rows.values_list("user__email", flat=True))


def _not_before(partner: Partner) -> datetime | None:
    last = Notice.objects.filter(partner=partner, kind="digest", sent_at__gt=clock.now() - EVERY).first()
    return last and last.sent_at + EVERY


@handler("digest", lease_seconds=120)
def digest(claim: Claim) -> None:
    """Tell what nobody has been told yet and what is still so."""
    partner = Partner.objects.filter(pk=claim.subject_id, is_active=True).first()
    if partner is None:
        return
    if later := _not_before(partner):
        with claim.finish(later):
            return
    new = list(items.fresh(partner.pk).values_list("pk", "about"))
    matters = Matters(partner, [about for _, about in new])
    to = readers(partner)
    notice = _send(claim, partner, matters, to) if matters and to else None
    with claim.finish():
        for some in items.chunks(pk for pk, _ in new):
            DigestItem.objects.filter(pk__in=some).update(told_at=clock.now())
        if notice:
            who = to[0] if len(to) == 1 else f"{len(to)} people"
            mailing.sent(notice, f"A digest was sent to {who}: {notice.subject}")


def _send(claim: Claim, partner: Partner, matters: Matters, to: list[str]) -> Notice | None:
    """The notice, if it was sent."""
    notice = mailing.begun(claim, kind="digest")
    notice.to, notice.subject, notice.text = to, matters.headline(), matters.text()
    notice.save()
    try:
        mailing.send(notice, notice.text)
    except mailing.NotSent as error:
        mailing.failed(notice, error)
        return None
    return notice
