"""A mail to a customer whose connection only the customer can mend, with the link that mends it."""

from datetime import datetime, timedelta

from django.db import transaction
from django.template.loader import render_to_string

from connectors import catalogue
from console import clock
from console.jobs import Claim, handler
from console.templatetags.times import day_text
from installations.alerts import ACTOR
from installations.models import Installation, Notice, SetupLink, Status
from installations.notices import mailing
from installations.notices.mailing import one_line, unlinked

AT_MOST_EVERY = timedelta(days=7)
AHEAD = timedelta(days=7)
# Instead of the link, where the mail is kept.
NOT_KEPT = "[here stood the link, which is not kept]"

# What happened, in the words of somebody who runs a shop.
ONLY_THE_CUSTOMER = {
    "grant_ended": "The access was withdrawn at {connector}, or it ran out.",
    "credential_expired": "{connector} gives access for a limited time, and that time is over.",
    "credential_rejected": "{connector} does not accept the sign-in any more that the connection uses.",
    "renewal_lost": "The access was lost when {connector} renewed it.",
    "client_changed": "{partner} connects in a new way, and {connector} asks you to allow that once more.",
    "permission_missing": "A permission is missing at {connector}. Someone who manages users there can give "
    "it, or allow access as a user who has it.",
    "ending": "{connector} gives access for a limited time, which ends on {day}. Allow it again before that "
    "day, and nothing is interrupted.",
}


def reason_to_tell(row: Installation) -> str:
    """A key of ONLY_THE_CUSTOMER; "" where the customer is not to be told anything."""
    partner, connector = row.partner, row.definition
    if not (partner.is_active and partner.tells_customers and row.account.email and connector):
        return ""
    if row.disabled_at or row.is_tryout:
        return ""
    if row.status == Status.ATTENTION:
        return row.problem if row.problem in ONLY_THE_CUSTOMER else ""
    now = clock.now()
    ends = row.status == Status.CONNECTED and row.grant_expires_at
    return "ending" if ends and now < row.grant_expires_at <= now + AHEAD else ""


def _not_before(row: Installation, since: datetime) -> datetime | None:
    """When the customer may be told: not twice a week, and not while a link is on its way already.

    Links of our own since that time do not count: tries that were broken off, and whether one of them has
    arrived, nobody knows.
    """
    now = clock.now()
    last = Notice.objects.filter(
        partner_id=row.partner_id, installation_id=row.pk, sent_at__gt=now - AT_MOST_EVERY
    ).first()
    live = SetupLink.objects.filter(
        installation=row, revoked_at=None, completed_at=None, expires_at__gt=now
    ).exclude(created_by=ACTOR, created_at__gte=since)
    ends = [last.sent_at + AT_MOST_EVERY] if last else []
    ends += [link.expires_at for link in live]
    return max(ends, default=None)


def _texts(row: Installation, reason: str, link: SetupLink, url: str) -> tuple[str, str]:
    """The subject and the text. No name in it can pass for an address: the link is the only one."""
    partner, definition = row.partner, row.definition
    custom = catalogue.is_custom(row.connector)
    names = {
        "partner": unlinked(partner.name, partner.domain),
        "connector": unlinked(definition.name) if custom else one_line(definition.name),
        "day": day_text(row.grant_expires_at),
    }
    ending = reason == "ending"
    subject = f"{names['partner']}: your connection to {names['connector']} " + (
        "ends soon" if ending else "needs you"
    )
    context = {
        **names,
        "domain": partner.domain,
        "account": unlinked(row.external_account_name),
        "ending": ending,
        "why": ONLY_THE_CUSTOMER[reason].format(**names),
        "url": url,
        "link": link,
    }
    text = render_to_string("installations/notices/customer.txt", context)
    return subject[:200], text.strip() + "\n"


@handler("tell", lease_seconds=120, tries=50)
def tell(claim: Claim) -> None:
    """An installation needs attention, or ends soon: tell the customer, where the partner wants that."""
    rows = Installation.objects.select_related("account", "partner", "release")
    row = rows.filter(pk=claim.subject_id).first()
    reason = reason_to_tell(row) if row else ""
    if not reason:
        return
    if later := _not_before(row, claim.job.created_at):
        with claim.finish(later):
            return
    notice = mailing.begun(claim, kind="customer", installation_id=row.pk)
    notice.to = [row.account.email]
    with transaction.atomic():
        link, url = SetupLink.issue(row, by=ACTOR, email=row.account.email)
        notice.subject, text = _texts(row, reason, link, url)
        notice.text = text.replace(url, NOT_KEPT)
        notice.save()
    try:
        mailing.send(notice, text)
    except mailing.NotSent as error:
        # One that may have arrived must work: a second mail passes for the same, and is not shown.
        if not error.is_unknown:
            link.delete()
        mailing.failed(notice, error, subject=row)
        return
    with claim.finish():
        mailing.sent(notice, f"The customer was told by e-mail, at {row.account.email}", subject=row)
