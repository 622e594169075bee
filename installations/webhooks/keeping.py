"""What comes to its end by itself: setup links, and the log of deliveries."""

from datetime import timedelta

from console import clock
from console.jobs import Claim, handler
from console.tidying import daily, throw_away
from installations.models import SetupLink, WebhookMessage
from installations.webhooks.outbox import announce

KEPT_FOR = timedelta(days=30)


@handler("expire_link")
def expire_link(claim: Claim) -> None:
    """Say that a setup link ended without having been used, where it did."""
    rows = SetupLink.objects.select_related("installation__account")
    # By the time of the database, as the job fell due.
    unused = rows.filter(completed_at=None, revoked_at=None, expires_at__lte=clock.now())
    link = unused.filter(pk=claim.subject_id).first()
    with claim.finish():
        if link:
            announce(
                "setup_link.expired",
                installation=link.installation,
                data={"setup_link_id": str(link.pk)},
            )


@daily
def forget_old_messages() -> None:
    """With their deliveries, delivered or not."""
    throw_away(WebhookMessage.objects.filter(occurred_at__lt=clock.now() - KEPT_FOR).order_by("occurred_at"))
