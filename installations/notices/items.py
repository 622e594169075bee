"""What a partner's people are to be told: noted as it happens, told together a little later."""

from collections.abc import Iterable
from datetime import timedelta
from itertools import islice
from uuid import UUID

from django.db import transaction

from console import clock, jobs
from console.models import Job
from installations.models import DigestItem

# What goes wrong together is told together.
GATHERING = timedelta(minutes=2)
# Of ids in one query; databases bound them.
CHUNK = 500


def chunks(rows: Iterable) -> Iterable[list]:
    rows = iter(rows)
    while found := list(islice(rows, CHUNK)):
        yield found


def note(partner_id: UUID, *abouts: str) -> None:
    """Let these be in the next digest, whether or not they were in one before."""
    with transaction.atomic():
        # Its job first: a digest that ends locks it before what it has told.
        gather(partner_id)
        for some in chunks(abouts):
            # Anew, so that a digest that is being written does not take them for those it tells.
            DigestItem.objects.filter(partner_id=partner_id, about__in=some).delete()
            rows = [DigestItem(partner_id=partner_id, about=about) for about in some]
            DigestItem.objects.bulk_create(rows, ignore_conflicts=True)


def gather(partner_id: UUID) -> None:
    """See to it that there is going to be a digest. One that is due already is not put off by more."""
    waiting = Job.objects.filter(kind="digest", subject_id=partner_id, started_at=None, failed_at=None)
    if not waiting.exists():
        jobs.schedule("digest", partner_id, partner_id, clock.now() + GATHERING)


def fresh(partner_id: UUID):
    """Those that nobody has been told."""
    return DigestItem.objects.filter(partner_id=partner_id, told_at=None)
