"""Send a notice, and keep what was sent, when, and why not."""

import logging
import re
import unicodedata
from datetime import timedelta
from smtplib import SMTPException, SMTPRecipientsRefused, SMTPServerDisconnected
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMessage
from django.urls import reverse

from console import clock
from console.jobs import Again, Claim
from console.models import Event
from installations.alerts import itself
from installations.models import Notice

log = logging.getLogger("installations.notices")


class NotSent(Exception):
    """It could not be sent. `words` say why, to people; `for_good`: trying again mends nothing.

    `is_unknown`: the mail server went away before it answered, and may have taken it all the same.
    """

    def __init__(self, words: str, *, for_good: bool, is_unknown: bool = False):
        super().__init__(words)
        self.words, self.for_good, self.is_unknown = words, for_good, is_unknown


def one_line(text: str) -> str:
    """A name as it is, without what breaks lines or is not seen."""
    return " ".join("".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text).split())


def unlinked(text: str, own_domain: str = "") -> str:
    """A name in which no mail program finds an address; a partner's own domain may stand in its name."""

    def broken(word: str) -> str:
        if word.lower() == own_domain:
            return word
        return re.sub(r"://|\\\\|(?<=\S)([.。．｡])(?=\S)", r"\1 ", word)

    return " ".join(broken(word) for word in one_line(text).split(" "))


def begun(claim: Claim, **fields) -> Notice:
    """The notice that this job is about: one, however often it is tried. A new one is not saved yet."""
    rows = Notice.objects.filter(
        partner_id=claim.job.partner_id, sent_at=None, created_at__gte=claim.job.created_at, **fields
    )
    return rows.first() or Notice(partner_id=claim.job.partner_id, **fields)


def was_sent(partner_id: UUID, *, kind: str, within: timedelta) -> bool:
    return Notice.objects.filter(partner_id=partner_id, kind=kind, sent_at__gt=clock.now() - within).exists()


def page(name: str, *args) -> str:
    """A page of the console, as a mail leads to it."""
    return settings.BASE_URL + reverse(name, args=args)


def send(notice: Notice, text: str) -> None:
    """Raises NotSent. `text` may hold a link, which `notice.text` does not.

    Whoever is killed after the mail server took it, and before that is noted, leaves it to be sent once more.
    The Message-ID (RFC 5322, section 3.6.4) is made of the notice's id, and so the same each time: mail
    servers and mail programs that know it already show one of the two.
    """
    if not settings.CAN_MAIL:
        raise NotSent("This server is not set up to send e-mail.", for_good=True)
    # Of a machine: nobody's absence note is to answer it (RFC 3834, section 5).
    headers = {
        "Auto-Submitted": "auto-generated",
        "Message-ID": f"<{notice.pk}@{urlsplit(settings.BASE_URL).hostname}>",
    }
    try:
        EmailMessage(notice.subject, text, None, notice.to, headers=headers).send()
    except SMTPRecipientsRefused as error:
        for_good = all(code >= 500 for code, _ in error.recipients.values())
        raise NotSent("The mail server refuses the address.", for_good=for_good) from error
    except (OSError, SMTPException) as error:
        # Not the error's own words: a mail server repeats what it was sent.
        log.error("a notice could not be mailed: %s", type(error).__name__)
        is_unknown = isinstance(error, SMTPServerDisconnected)
        raise NotSent("The mail server did not take it.", for_good=False, is_unknown=is_unknown) from error
    except ValueError as error:
        raise NotSent("The address cannot be used.", for_good=True) from error


def failed(notice: Notice, error: NotSent, subject=None) -> None:
    """Note why a saved notice was not sent, on the record once. Raises Again, unless it failed for good."""
    if not notice.failure:
        to = ", ".join(notice.to)
        Event.objects.record(
            "notice.failed",
            itself(notice.partner_id),
            f"An e-mail to {to} could not be sent. {error.words}"[:300],
            subject=subject or notice,
        )
    notice.failure = error.words
    notice.save(update_fields=["failure"])
    if not error.for_good:
        raise Again("mail_failed") from error


def sent(notice: Notice, told: str, subject=None) -> None:
    """To be called within the job's end."""
    notice.sent_at, notice.failure = clock.now(), ""
    notice.save(update_fields=["failure", "sent_at"])
    Event.objects.record("notice.sent", itself(notice.partner_id), told[:300], subject=subject or notice)
