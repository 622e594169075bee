"""Opening a setup link: from the token in its address to a cookie of this browser.

GET and HEAD store nothing, here or later: a mail scanner may open a link as often as it likes. The
token leaves the address at once (RFC 9700, section 4.2), so that it stands in no history and no
Referer; the cookie that takes its place is signed and names the link alone.
"""

import logging
from smtplib import SMTPException
from uuid import UUID

from django.conf import settings
from django.core import signing
from django.core.mail import send_mail
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils import timezone

from console import crypto, throttle
from console.middleware import client_address, network_of
from console.models import Event
from console.problems import ProblemError
from console.tenancy import Principal
from installations.models import Installation, SetupLink, Status
from installations.webhooks.outbox import announce

SALT = "installations.setup-link"
log = logging.getLogger("installations.links")


def cookie_name(link_id: UUID) -> str:
    return f"{settings.COOKIE_PREFIX}setup-{link_id.hex}"


def open_link(request: HttpRequest, token: str) -> SetupLink:
    """The link with this token, live or not. Raises ProblemError: unknown, too many tries."""
    link = (
        SetupLink.objects.filter(token_digest=crypto.digest(token))
        .select_related("partner", "installation")
        .first()
    )
    if link is None:
        # Only failures count: a customer who opens a good link often is no guesser.
        throttle.spend(f"link:{network_of(client_address(request))}", per_minute=20)
        raise ProblemError("link_unknown")
    return link


def find(link_id: UUID) -> SetupLink | None:
    """A link by its id, which is no secret and opens nothing by itself: see `remembered`."""
    links = SetupLink.objects.select_related("installation__account", "installation__partner", "partner")
    return links.filter(pk=link_id).first()


def opened(link: SetupLink) -> None:
    """Its customer begins: to have it opened says nothing, mail scanners do that as well."""
    with transaction.atomic():
        if link.start():
            announce(
                "setup_link.opened", installation=link.installation, data={"setup_link_id": str(link.pk)}
            )


def refuse_closed(link: SetupLink) -> None:
    """Raise ProblemError where the link may no longer be walked.

    A completed link may until it expires: its page says what is connected.
    """
    ended = link.state == "completed" and link.installation.status == Status.DISCONNECTED
    if link.state == "revoked" or ended or not link.partner.is_active:
        raise ProblemError("link_revoked")
    if link.expires_at <= timezone.now():
        raise ProblemError("link_expired")
    if link.installation.disabled_at:
        raise ProblemError("installation_disabled")


def remember(response: HttpResponse, link: SetupLink, *, reviewed: bool = False) -> HttpResponse:
    """Let this browser in, and know whether a person at it has seen what will be connected, and for whom."""
    response.set_cookie(
        cookie_name(link.pk),
        signing.dumps([link.pk.hex, reviewed], salt=SALT),
        max_age=settings.SETUP_LINK_DAYS * 24 * 3600,
        secure=settings.SECURE,
        httponly=True,
        samesite="Lax",
    )
    return response


def remembered(request: HttpRequest, link_id: UUID) -> tuple[bool, bool]:
    """Whether this browser has opened that link, and whether it has shown the review."""
    try:
        link, reviewed = signing.loads(request.COOKIES.get(cookie_name(link_id), ""), salt=SALT)
    except signing.BadSignature:
        return False, False
    return link == link_id.hex, reviewed


def send(
    installation: Installation,
    principal: Principal,
    *,
    email: str = "",
    return_url: str = "",
    id: UUID | None = None,
) -> tuple[SetupLink, str]:
    """Issue a link, mail it where an address is given, and note it. Its own address is not kept.

    A mail that cannot be sent is said in `link.mailed`; the link itself is good.
    """
    if email:
        throttle.spend(f"mail:{installation.partner_id}", per_minute=20)
    link, url = SetupLink.issue(installation, by=principal.actor, email=email, return_url=return_url, id=id)
    link.mailed = bool(email) and _mail(link, url)
    told = f"A setup link was sent to {email}" if link.mailed else "A setup link was made"
    if email and not link.mailed:
        told = f"A setup link was made; it could not be mailed to {email}"
    Event.objects.record("setup_link.issued", principal, told, subject=installation, link=str(link.pk))
    return link, url


def withdraw(link: SetupLink, principal: Principal) -> None:
    """It opens nothing any more. One that was used or withdrawn before stays as it is."""
    with transaction.atomic():
        if link.revoke():
            told = "A setup link was withdrawn"
            Event.objects.record("setup_link.revoked", principal, told, subject=link.installation_id)


def _mail(link: SetupLink, url: str) -> bool:
    installation = link.installation
    connector = installation.definition
    if connector is None:
        # Nobody knows any more what the mail would be about.
        return False
    context = {"partner": installation.partner, "connector": connector, "url": url, "link": link}
    text = render_to_string("installations/setup_link_mail.txt", context)
    try:
        send_mail(f"{installation.partner.name}: connect {connector.name}", text, None, [link.email])
    except (OSError, SMTPException, ValueError) as error:  # the last: a name that is no header
        # Not the error's own words: a mail server repeats what it was sent.
        log.error("a setup link could not be mailed: %s", type(error).__name__)
        return False
    return True
