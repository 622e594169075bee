"""Opening a setup link: from the token in its address to a cookie of this browser.

GET and HEAD store nothing, here or later: a mail scanner may open a link as often as it likes. The
token leaves the address at once (RFC 9700, section 4.2), so that it stands in no history and no
Referer; the cookie that takes its place is signed and names the link alone.
"""

from uuid import UUID

from django.conf import settings
from django.core import signing
from django.core.mail import send_mail
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

from connectors import registry
from console import crypto, throttle
from console.middleware import client_address
from console.models import Event
from console.problems import ProblemError
from console.tenancy import Principal
from installations.models import Installation, SetupLink

SALT = "installations.setup-link"


def cookie_name(link_id: UUID) -> str:
    return f"{settings.COOKIE_PREFIX}setup-{link_id.hex}"


def open_link(request: HttpRequest, token: str) -> SetupLink:
    """The live link with this token. Raises ProblemError: unknown, expired, withdrawn, too many tries.

    A completed link opens too: its page says what is connected.
    """
    address = client_address(request)
    throttle.check(f"link:{address}", per_minute=20)
    link = (
        SetupLink.objects.filter(token_digest=crypto.digest(token))
        .select_related("partner", "installation")
        .first()
    )
    if link is None:
        # Only failures count: a customer who opens a good link often is no guesser.
        throttle.spend(f"link:{address}", per_minute=20)
        raise ProblemError("link_unknown")
    refuse_closed(link)
    return link


def find(link_id: UUID) -> SetupLink | None:
    """A link by its id, which is no secret and opens nothing by itself: see `remembered`."""
    links = SetupLink.objects.select_related("installation__account", "installation__partner", "partner")
    return links.filter(pk=link_id).first()


def refuse_closed(link: SetupLink) -> None:
    """Raise ProblemError where the link may no longer be walked."""
    if link.state in ("expired", "revoked") or not link.partner.is_active:
        raise ProblemError("link_expired" if link.state == "expired" else "link_revoked")
    if link.installation.disabled_at:
        raise ProblemError("installation_disabled")


def remember(response: HttpResponse, link: SetupLink) -> HttpResponse:
    response.set_cookie(
        cookie_name(link.pk),
        signing.dumps(link.pk.hex, salt=SALT),
        max_age=settings.SETUP_LINK_DAYS * 24 * 3600,
        secure=settings.SECURE,
        httponly=True,
        samesite="Lax",
    )
    return response


def remembered(request: HttpRequest, link_id: UUID) -> bool:
    """Whether this browser has opened that link."""
    try:
        return signing.loads(request.COOKIES.get(cookie_name(link_id), ""), salt=SALT) == link_id.hex
    except signing.BadSignature:
        return False


def send(
    installation: Installation, principal: Principal, *, email: str = "", return_url: str = ""
) -> tuple[SetupLink, str]:
    """Issue a link, mail it where an address is given, and note it. The address of it is not kept."""
    link, url = SetupLink.issue(installation, by=principal.actor, email=email, return_url=return_url)
    connector = registry.get(installation.connector)
    if email:
        context = {"partner": installation.partner, "connector": connector, "url": url, "link": link}
        send_mail(
            f"{installation.partner.name}: connect {connector.name}",
            render_to_string("installations/setup_link_mail.txt", context),
            None,
            [email],
        )
    Event.objects.record(
        "setup_link.issued",
        principal,
        f"A setup link was sent to {email}" if email else "A setup link was made",
        subject=installation,
        link=str(link.pk),
    )
    return link, url
