"""Work in the background: schedule it, claim it, do it, and say how it ended.

The row is the job (console.models.Job). A worker claims it by one conditional UPDATE that moves `due_at` to
the end of a lease; killed in the middle, the job falls due again. What a job brings about is written
together with its end, in `finish`, which only the holder of the lease can do: so it happens once, however
often it was begun.
"""

import logging
import random
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Event
from uuid import UUID, uuid4

from django.db import close_old_connections, transaction
from django.db.models import F

from console import clock, logs, metrics, queue, spans
from console.clock import Now
from console.models import Job, Pause

log = logging.getLogger("console.jobs")

# Of due rows so many are looked at, and one of them taken: several workers seldom meet.
CHOICE = 32
SWEEP_SECONDS, NOTE_EVERY_SECONDS = 60.0, 20.0
# While the database is down: how long it takes to notice that it is back.
RETRY_SECONDS = 2.0
FIRST_RETRY, LAST_RETRY = timedelta(seconds=5), timedelta(hours=1)


class LeaseLost(Exception):
    """Another worker has taken the job over: what this one found is not to be written any more."""


class Again(Exception):
    """The job could not be done now. `after`: not sooner than that; else the usual, growing pause."""

    def __init__(self, code: str, after: timedelta | None = None):
        super().__init__(code)
        self.code, self.after = code, after


@dataclass(frozen=True)
class Handler:
    run: Callable[["Claim"], None]
    lease: timedelta
    # Tries until it is given up; None: never.
    tries: int | None


HANDLERS: dict[str, Handler] = {}


def handler(kind: str, *, lease_seconds: int = 60, tries: int | None = None):
    """Register what does the jobs of a kind: a function of a Claim.

    It ends with `with claim.finish(…)` around what it writes; where it does not, the job is over with it.
    """

    def register(function: Callable[["Claim"], None]):
        HANDLERS[kind] = Handler(function, timedelta(seconds=lease_seconds), tries)
        return function

    return register


def schedule(kind: str, subject_id: UUID, partner_id: UUID | None, at: datetime | None = None) -> None:
    """Let this be done at that time, or at once; within a transaction, with the rest of it or not at all.

    There is one job of a kind for each subject: the new time counts in place of the old one.
    """
    due = at or clock.now()
    while not _put(kind, subject_id, partner_id, due):
        # It was there and ended at this moment.
        pass
    if at is None:
        transaction.on_commit(queue.wake)


def _put(kind: str, subject_id: UUID, partner_id: UUID | None, due: datetime) -> bool:
    made, is_new = Job.objects.get_or_create(
        kind=kind, subject_id=subject_id, defaults={"partner_id": partner_id, "due_at": due}
    )
    if is_new:
        return True
    rows = Job.objects.filter(pk=made.pk)
    fresh = {"due_at": due, "attempts": 0, "last_error": "", "failed_at": None}
    # Where somebody has it at this moment, it comes round once more afterwards.
    return bool(rows.filter(started_at=None).update(**fresh) or rows.update(wanted_at=due))


def cancel(kind: str, subject_id: UUID) -> None:
    Job.objects.filter(kind=kind, subject_id=subject_id).delete()


def hurry(partner_id: UUID, kind: str, *, within: timedelta) -> None:
    """Let a partner's jobs of a kind that are due within that time be done at once, in two statements."""
    rows = Job.objects.filter(partner_id=partner_id, kind=kind, failed_at=None)
    rows.filter(started_at=None, due_at__gt=Now(), due_at__lte=Now() + within).update(due_at=Now())
    # Where somebody has it at this moment, it comes round once more afterwards.
    rows.filter(started_at__isnull=False).update(wanted_at=Now())
    transaction.on_commit(queue.wake)


def try_again(job: Job) -> bool:
    """Let a job that was given up, or that waits, be done at once; False where a worker has it now."""
    fresh = {"due_at": Now(), "attempts": 0, "last_error": "", "failed_at": None, "lease": uuid4()}
    if not Job.objects.filter(pk=job.pk, started_at=None).update(**fresh):
        return False
    transaction.on_commit(queue.wake)
    return True


@dataclass
class Claim:
    """A job that this worker holds."""

    job: Job
    lease: UUID

    @property
    def subject_id(self) -> UUID:
        return self.job.subject_id

    @property
    def _mine(self):
        return Job.objects.filter(pk=self.job.pk, lease=self.lease)

    @contextmanager
    def finish(self, next_at: datetime | None = None):
        """Write what was brought about and end the job, or set its next time, as one change.

        Raises LeaseLost, with nothing written, where another worker has taken the job over.
        """
        with transaction.atomic():
            row = self._mine.select_for_update().first()
            if row is None:
                raise LeaseLost(str(self.job))
            yield
            due = min(filter(None, (next_at, row.wanted_at)), default=None)
            if due is None:
                row.delete()
            else:
                self._mine.update(
                    due_at=due, started_at=None, wanted_at=None, attempts=0, last_error="", lease=uuid4()
                )
        self.job.started_at = None

    @property
    def is_finished(self) -> bool:
        return self.job.started_at is None

    def put_off(self, code: str, after: timedelta) -> None:
        over = {"started_at": None, "last_error": code[:100], "lease": uuid4(), "wanted_at": None}
        # Somebody may have asked for an earlier time meanwhile.
        if self._mine.filter(wanted_at__lt=Now() + after).update(due_at=F("wanted_at"), **over):
            queue.wake()
        elif self._mine.update(due_at=Now() + after, **over):
            _wake_then(after)

    def give_up(self, code: str) -> None:
        over = {"started_at": None, "last_error": code[:100], "lease": uuid4()}
        # Asked for again meanwhile: it begins anew.
        anew = {"due_at": F("wanted_at"), "wanted_at": None, "attempts": 0}
        if not self._mine.filter(wanted_at__isnull=False).update(**over, **anew):
            self._mine.update(**over, failed_at=Now())


def _wake_then(after: timedelta) -> None:
    """What is further away than a minute is found by the sweep."""
    if after < timedelta(minutes=1):
        queue.wake(after.total_seconds())


def pause_after(attempts: int) -> timedelta:
    """Full jitter: anything up to twice as long each time, and a second at least."""
    longest = min(LAST_RETRY, FIRST_RETRY * 2 ** min(attempts, 20))
    return timedelta(seconds=random.uniform(1, longest.total_seconds()))  # noqa: S311


def due(limit: int = CHOICE):
    """The rows that are due, longest first: an index scan, however many there are in all."""
    return Job.objects.filter(failed_at=None, due_at__lte=Now()).order_by("due_at")[:limit]


def claim() -> Claim | None:
    """Take one job that is due; None where there is none left."""
    if Pause.objects.exists():
        return None
    while rows := list(due()):
        random.shuffle(rows)
        for row in rows:
            lease = uuid4()
            # A kind that this version does not know waits for one that does.
            known = HANDLERS.get(row.kind)
            until = known.lease if known else timedelta(minutes=5)
            taken = Job.objects.filter(pk=row.pk, lease=row.lease, failed_at=None).update(
                lease=lease,
                due_at=Now() + until,
                started_at=Now(),
                attempts=F("attempts") + 1,
            )
            if taken and known:
                row.attempts, row.started_at = row.attempts + 1, clock.now()
                return Claim(row, lease)
    return None


def run(held: Claim) -> None:
    """Do one job. Whatever it raises stays here, and stands in its row."""
    job = held.job
    with logs.about(job=job, partner=job.partner_id), spans.span(f"job {job.kind}", "CONSUMER") as span:
        started = time.perf_counter()
        outcome = _run(held)
        seconds = time.perf_counter() - started
        span.name(f"job {job.kind}", outcome=outcome)
        metrics.job(job.kind, outcome)
        log.info("%s %s %.0fms", job.kind, outcome, seconds * 1000, extra={"outcome": outcome})


def _run(held: Claim) -> str:
    """How it ended: done, again, failed, given_up or taken_over."""
    known = HANDLERS[held.job.kind]
    try:
        known.run(held)
        if not held.is_finished:
            with held.finish():
                pass
    except LeaseLost:
        return "taken_over"
    except Exception as error:
        asked = error if isinstance(error, Again) else None
        code = asked.code if asked else type(error).__name__
        if not asked:
            # The name alone: a message may repeat what a provider or a person sent.
            log.error("job failed: %s", code, exc_info=log.isEnabledFor(logging.DEBUG))
        if known.tries is not None and held.job.attempts >= known.tries:
            held.give_up(code)
            return "given_up"
        held.put_off(code, (asked and asked.after) or pause_after(held.job.attempts))
        return "again" if asked else "failed"
    return "done"


# Set when this process is to end; the worker puts its own in place.
ended = Event()


def work() -> int:
    """Do what is due, until nothing is or this process is to end; how many jobs that were."""
    if due(2).count() > 1:
        # Enough for another worker as well.
        queue.wake()
    done = 0
    _note_that_one_is_here()
    while not ended.is_set() and (held := claim()):
        run(held)
        done += 1
        close_old_connections()
        _note_that_one_is_here()
    return done


_noted_at = 0.0


def _note_that_one_is_here() -> None:
    """Now and then: whoever watches wants to know it within a minute or two."""
    global _noted_at
    if time.monotonic() - _noted_at > NOTE_EVERY_SECONDS:
        _noted_at = time.monotonic()
        queue.note_worker(clock.now())


def sweep() -> None:
    """Look for work each minute until this process is to end: a lost message costs no job.

    In a thread of its own, so that it goes on while the queue is down. A claim tells all workers apart.
    """
    while True:
        pause = SWEEP_SECONDS
        try:
            work()
        except Exception as error:  # the database is down
            log.error("no work could be looked for: %s", type(error).__name__)
            pause = RETRY_SECONDS
        close_old_connections()
        if ended.wait(pause):
            return
