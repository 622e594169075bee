"""Workers that are killed at any moment."""

import random
import time
from uuid import uuid4

from console import clock, queue
from console.models import Event, Job
from installations.models import Credential
from tests.drills import jobs_of_drill
from tests.drills.field import Field, Figure


def killed_workers(field: Field, kills: int = 50, *, jobs: int = 400, renewals: int = 40) -> Figure:
    """Row 41, B5: two workers are killed again and again while they work."""
    now = clock.now()
    subjects = [uuid4() for _ in range(jobs)]
    rows = field.connected(renewals, method="grace")
    field.server.control(reuse="grace")
    due = [(jobs_of_drill.KIND, subject) for subject in subjects] + [("renew", row.pk) for row in rows]
    random.shuffle(due)
    Job.objects.bulk_create(
        Job(kind=kind, subject_id=subject, partner=field.partner, due_at=now) for kind, subject in due
    )
    workers = [field.child(jobs_of_drill.worker, field.partner.pk) for _ in range(2)]
    in_hand = 0
    for number in range(kills):
        time.sleep(0.15 + random.random() * 0.4)
        in_hand += Job.objects.filter(partner=field.partner, started_at__isnull=False).exists()
        workers[number % 2].kill()
        workers[number % 2] = field.child(jobs_of_drill.worker, field.partner.pk)
        field.age(2, Job, Credential)
    effects = Event.objects.filter(partner=field.partner, kind=jobs_of_drill.KIND)
    left = Job.objects.filter(partner=field.partner, kind=jobs_of_drill.KIND)
    renewed = Credential.objects.filter(installation__in=rows, current__expires_at__gt=clock.now())
    until = time.monotonic() + 60
    while (left.exists() or renewed.count() < renewals) and time.monotonic() < until:
        field.age(5, Job, Credential)
        queue.wake()
        time.sleep(0.5)
    for worker in workers:
        worker.kill()
    done = list(effects.values_list("subject_id", flat=True))
    lost, twice = len(set(subjects) - set(done)), len(done) - len(set(done))
    unrenewed = renewals - renewed.count() + field.lost(rows)
    return Figure(
        f"{kills} × kill -9 of one of two workers, {jobs} jobs, {renewals} renewals ({in_hand} in mid-job)",
        f"{lost} lost, {twice} done twice, {unrenewed} renewals lost",
        "0, 0, 0",
        lost == twice == unrenewed == field.broken() == 0 and in_hand > 0,
    )
