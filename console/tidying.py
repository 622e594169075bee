"""What is thrown away once a day: rows that nobody looks at any more."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from django.db.models import QuerySet

from console import clock
from console.jobs import Claim, handler
from console.models import Job

KIND = "tidy"
# There is one such job, and it is about nothing else.
SUBJECT = UUID("74696479-0000-4000-8000-000000000000")

_CHORES: list[Callable[[], None]] = []


def daily(chore: Callable[[], None]) -> Callable[[], None]:
    """Register something to be done each day. It may be done twice, or broken off and begun again."""
    _CHORES.append(chore)
    return chore


def throw_away(rows: QuerySet, at_once: int = 1_000) -> None:
    """Delete rows, so many at once: others want to write meanwhile."""
    while keys := list(rows.values_list("pk", flat=True)[:at_once]):
        rows.model._base_manager.filter(pk__in=keys).delete()


def begin() -> None:
    """Let there be the job; its time, where it has one already, stays."""
    Job.objects.get_or_create(kind=KIND, subject_id=SUBJECT, defaults={"due_at": clock.now()})


@handler(KIND, lease_seconds=600)
def tidy(claim: Claim) -> None:
    """Do each chore, whatever becomes of the others. Raises what the first one raised that failed."""
    failed = None
    for chore in _CHORES:
        try:
            chore()
        except Exception as error:
            failed = failed or error
    if failed:
        raise failed
    with claim.finish(clock.now() + timedelta(days=1)):
        pass
