"""An incident: every access that a connector's installations hold is ended, in the background.

The record says who asked for it, when, and for how many. A job goes through them and is taken up again where
a worker ended; the grants end at the provider in jobs of their own, as with a single one.
"""

import logging
import time
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from connectors import catalogue
from connectors.models import ConnectorSettings
from console import clock, jobs
from console.jobs import Again, Claim, handler
from console.models import Event
from console.tenancy import Principal
from installations import ending
from installations.models import AuthorizationRequest, Installation, Revocation, Setup, Status

log = logging.getLogger("installations.incident")

ASKED = "connector.disconnecting_all"
# So long a worker stays with one connector before it looks for other work.
TURN_SECONDS = 20


@dataclass(frozen=True)
class Progress:
    """How far the ending of all access of a connector has come."""

    asked_at: datetime
    actor: str
    # Installations: in all, and still connected here.
    total: int
    left: int
    # Grants that the provider has not ended yet, and those that it never did.
    waiting: int
    given_up: int

    @property
    def done(self) -> int:
        return max(self.total - self.left, 0)

    @property
    def is_over(self) -> bool:
        return not self.left and not self.waiting


def affected(partner_id: UUID, connector: str, until: datetime | None = None) -> QuerySet:
    """The installations that hold an access, in use or in a setup that was not finished, got until then."""
    rows = Installation.objects.filter(partner_id=partner_id, connector=connector)
    used = Q(status__in=[Status.CONNECTED, Status.ATTENTION])
    begun = Setup.objects.filter(partner_id=partner_id, token__isnull=False)
    if until:
        used &= Q(connected_at=None) | Q(connected_at__lte=until)
        begun = begun.filter(created_at__lte=until)
    return rows.filter(used | Q(pk__in=begun.values("installation_id")))


def _close_what_is_under_way(partner_id: UUID, connector: str) -> None:
    """No setup that is open now connects any more: not by a consent that is given at this moment either.

    What a setup holds already stays in it until the job has ended it at the provider.
    """
    now, mine = timezone.now(), {"partner_id": partner_id, "installation__connector": connector}
    asked = AuthorizationRequest.objects.filter(**mine, consumed_at=None)
    asked.update(consumed_at=now, outcome="attempt_revoked", verifier=None)
    setups = Setup.objects.filter(**mine, finished_at=None)
    setups.filter(Q(token__isnull=False) | Q(authorizationrequest__isnull=False)).update(finished_at=now)
    waiting = Installation.objects.filter(partner_id=partner_id, connector=connector, status=Status.WAITING)
    waiting.update(status=Status.NOT_SET_UP)


def begin(principal: Principal, connector: str) -> int:
    """Let all access that a partner's installations of a connector hold be ended; how many they are."""
    name = catalogue.names(principal.partner_id, [connector])[connector]
    subject = ConnectorSettings.registration_id(principal.partner_id, connector)
    with transaction.atomic():
        # First: a consent that ends in a connection before this is among those that are counted.
        _close_what_is_under_way(principal.partner_id, connector)
        if number := affected(principal.partner_id, connector).count():
            Event.objects.record(
                ASKED,
                principal,
                f"All installations of {name} are being disconnected"[:300],
                subject=subject,
                connector=connector,
                installations=number,
            )
            jobs.schedule("disconnect_all", subject, principal.partner_id)
    return number


def _asked(partner_id: UUID, subject: UUID) -> Event | None:
    return Event.objects.filter(partner_id=partner_id, subject_id=subject, kind=ASKED).first()


def progress(partner_id: UUID, connector: str) -> Progress | None:
    """How far the last one has come; None where there was none."""
    asked = _asked(partner_id, ConnectorSettings.registration_id(partner_id, connector))
    if asked is None:
        return None
    ended = Event.objects.filter(partner_id=partner_id, at__gte=asked.at, kind="grant.not_ended")
    return Progress(
        asked_at=asked.at,
        actor=asked.actor,
        total=asked.details["installations"],
        left=affected(partner_id, connector, asked.at).count(),
        waiting=Revocation.objects.filter(
            partner_id=partner_id, connector=connector, created_at__gte=asked.at
        ).count(),
        given_up=ended.filter(details__connector=connector).count(),
    )


@handler("disconnect_all", lease_seconds=60)
def disconnect_all(claim: Claim) -> None:
    """Disconnect one after the other what was connected when somebody asked for it."""
    asked = _asked(claim.job.partner_id, claim.subject_id)
    if asked is None:
        return
    principal = Principal(partner_id=asked.partner_id, actor=asked.actor)
    until = time.monotonic() + TURN_SECONDS
    rows = affected(asked.partner_id, asked.details["connector"], asked.at)
    rows, failed = rows.select_related("account", "partner"), []
    while batch := rows.exclude(pk__in=failed)[:50]:
        for row in batch:
            try:
                # All go: what they share is ended with the first.
                if row.status in (Status.CONNECTED, Status.ATTENTION):
                    ending.disconnect(row, principal, with_others=True)
                else:
                    ending.abandon_setup(row, principal)
            except Exception as error:  # the others do not wait for one that is damaged
                log.error("not disconnected: installation=%s %s", row.pk, type(error).__name__)
                failed.append(row.pk)
        if time.monotonic() > until:
            # What is done is not met again.
            with claim.finish(clock.now()):
                return
    if failed:
        raise Again("not_all_disconnected")
