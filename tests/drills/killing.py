"""Processes that are killed at any moment, and connections to the database that break."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from django.db import connection

from console import clock, queue
from console.models import Event, Job
from installations import spool
from installations.models import Credential, CredentialVersion, Installation
from tests.drills import acts, jobs_of_drill
from tests.drills.children import Child
from tests.drills.field import Field, Figure
from tests.drills.pages import Browser

WITH_THE_JOB = "with the job"
# So many processes at once.
BATCH = 10
# Seconds by which the clocks of two machines are wrong.
CLOCKS_OFF = (-600, 600)
# Seconds, of the rows' time, until all leases of the killed are over: far less than a clock is wrong by.
SETTLED_AFTER = 300
PAGE = "/installations/"


def killed_workers(field: Field, kills: int = 50, *, jobs: int = 400, renewals: int = 40) -> Figure:
    """Row 41, B3 and B5: two workers are killed again and again while they work, their clocks wrong."""
    now = clock.now()
    subjects = [uuid4() for _ in range(jobs)]
    rows = field.connected(renewals, method="grace")
    field.server.control(reuse="grace")
    due = [(jobs_of_drill.KIND, subject) for subject in subjects] + [("renew", row.pk) for row in rows]
    random.shuffle(due)
    Job.objects.bulk_create(
        Job(kind=kind, subject_id=subject, partner=field.partner, due_at=now) for kind, subject in due
    )

    def start(number: int) -> Child:
        return field.child(acts.worker_with_clock_off, CLOCKS_OFF[number], field.partner.pk)

    workers = [start(number) for number in range(2)]
    in_hand = 0
    for number in range(kills):
        # At whatever moment of their work that is.
        time.sleep(0.15 + random.random() * 0.4)
        in_hand += Job.objects.filter(partner=field.partner, started_at__isnull=False).exists()
        workers[number % 2].kill()
        workers[number % 2] = start(number % 2)
        field.age(2, Job, Credential)
    effects = Event.objects.filter(partner=field.partner, kind=jobs_of_drill.KIND)
    left = Job.objects.filter(partner=field.partner, kind=jobs_of_drill.KIND)
    renewed = Credential.objects.filter(installation__in=rows, current__expires_at__gt=clock.now())
    aged = 0
    while (left.exists() or renewed.count() < renewals) and aged < SETTLED_AFTER:
        field.age(5, Job, Credential)
        aged += 5
        queue.wake()
        time.sleep(0.5)
    for worker in workers:
        worker.kill()
    done = list(effects.values_list("subject_id", flat=True))
    lost, twice = len(set(subjects) - set(done)), len(done) - len(set(done))
    unrenewed = renewals - renewed.count() + field.lost(rows)
    return Figure(
        f"{kills} × kill -9 of one of two workers with clocks off by ±10 minutes, {jobs} jobs, "
        f"{renewals} renewals ({in_hand} in mid-job)",
        f"{lost} lost, {twice} done twice, {unrenewed} renewals lost, settled after {aged} s",
        f"0, 0, 0, {SETTLED_AFTER} s",
        lost == twice == unrenewed == field.broken() == 0 and in_hand > 0,
    )


def at_every_moment(field: Field, times: int) -> Figure:
    """Row 41, B5: killed at each of six moments, and what holds for an installation holds afterwards."""
    held = 0
    for moment in (WITH_THE_JOB, *acts.MOMENTS):
        for done in range(0, times, BATCH):
            rows = field.connected(min(BATCH, times - done))
            _kill(field, moment, rows)
            field.age(61, Job, Credential)
            field.child(acts.replay).answer()
            _schedule(field, rows)
            field.child(jobs_of_drill.work, field.partner.pk).answer()
            held += sum(_holds(field, row, moment) for row in rows)
    return Figure(
        f"kill -9 at six moments of a renewal, {times} times each",
        f"{held} of {6 * times} whole, {len(spool.kept())} answers left over",
        f"{6 * times} whole, 0",
        held == 6 * times and not spool.kept(),
    )


def _kill(field: Field, moment: str, rows: list[Installation]) -> None:
    if moment == WITH_THE_JOB:
        _schedule(field, rows)
        children = [field.child(acts.die_with_the_job, field.partner.pk) for _ in rows]
    else:
        children = [field.child(acts.die, moment, row.pk) for row in rows]
    assert all(child.is_killed() for child in children)


def _schedule(field: Field, rows: list[Installation]) -> None:
    Job.objects.filter(partner=field.partner).delete()
    now = clock.now()
    Job.objects.bulk_create(
        Job(kind="renew", subject_id=row.pk, partner=field.partner, due_at=now) for row in rows
    )


def _holds(field: Field, row: Installation, moment: str) -> bool:
    """It works by the token that the provider knows, or waits for a person with the reason why.

    The second only where the process ended between the request and the answer on the disk: whether the
    provider has taken the refresh token nobody can know then, and to send it once more might end the grant.
    """
    row.refresh_from_db()
    credential = Credential.objects.select_related("current").get(installation=row)
    if CredentialVersion.objects.filter(installation=row).count() != 1:
        return False
    if credential.lease_until and credential.lease_until > clock.now() and not credential.unknown_since:
        return False
    if row.status == "connected":
        return not field.lost([row]) and not credential.problem
    known = {"renewal_unknown", "renewal_lost"}
    return moment in ("with the lease", "with the answer") and row.problem in known


def broken_connections(field: Field, times: int = 3, *, renewals: int = 60) -> Figure:
    """Row 41, B4: PostgreSQL ends every connection, again and again, while workers renew and people look."""
    rows = field.connected(renewals, method="grace")
    field.server.control(reuse="grace")
    _schedule(field, rows)
    workers = [field.child(jobs_of_drill.worker, field.partner.pk) for _ in range(2)]
    renewed = Credential.objects.filter(installation__in=rows, current__expires_at__gt=clock.now())
    ended, windows = 0, []
    with field.served() as browser, _looking(browser) as seen:
        for number in range(times):
            # All breaks in the first half: what was in hand keeps its lease, and others must be left.
            field.wait_until(lambda: renewed.count() > number * renewals // (2 * times))  # noqa: B023
            before, looked = renewed.count(), len(seen)
            ended, broken_at = ended + end_connections(), time.monotonic()
            field.wait_until(lambda: renewed.count() > before or renewed.count() == renewals)  # noqa: B023
            windows.append(time.monotonic() - broken_at)
            # One that was asked for after the break, and not one that was under way.
            field.wait_until(lambda: 200 in seen[looked + 2 :])  # noqa: B023
            windows.append(time.monotonic() - broken_at)

        def is_done() -> bool:
            # What was in hand when a connection broke falls due again with the end of its lease.
            field.age(5, Job, Credential)
            queue.wake()
            time.sleep(0.5)
            return renewed.count() == renewals

        field.wait_until(is_done)
    for worker in workers:
        worker.kill()
    lost, failed = field.lost(rows) + field.broken(), sum(status != 200 for status in seen)
    return Figure(
        f"{times} × every connection to PostgreSQL ended ({ended} in all) while {renewals} renew "
        f"and {len(seen)} pages are looked at",
        f"{lost} lost, {failed} pages failed, {max(windows):.1f} s until all went on",
        f"0, {2 * times}, 10 s",
        lost == 0 and ended > 0 and failed <= 2 * times and max(windows) <= 10,
    )


def end_connections() -> int:
    """Every one to this database but our own; how many there were."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return cursor.fetchone()[0]


@contextmanager
def _looking(browser: Browser) -> Iterator[list[int]]:
    """Somebody who looks at the same page again and again; what it answered each time."""
    seen, is_over = [], threading.Event()

    def look() -> None:
        while not is_over.is_set():
            seen.append(browser.look(PAGE))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        is_over.set()
        thread.join()
