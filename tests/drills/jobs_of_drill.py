"""A kind of job for drills, whose effect can be counted, and the worker that does it."""

import random
import time

from django.core.management import call_command
from django.db import connections

from console import jobs
from console.jobs import Claim, handler
from console.models import Event, Job

KIND = "drill"


@handler(KIND, lease_seconds=2)
def effect(claim: Claim) -> None:
    """Write one line on the record, after a while in which this process may be killed."""
    time.sleep(random.random() * 0.02)
    with claim.finish():
        Event.objects.create(
            partner_id=claim.job.partner_id,
            kind=KIND,
            actor="drill",
            text="done",
            subject_id=claim.subject_id,
        )
        # Between the effect and its commit, too.
        time.sleep(random.random() * 0.005)


def only_of(partner_id) -> None:
    """Let this process do the jobs of one partner alone: a staging database has others."""

    def due(limit: int = jobs.CHOICE):
        rows = Job.objects.filter(partner_id=partner_id, failed_at=None, due_at__lte=jobs.Now())
        return rows.order_by("due_at")[:limit]

    jobs.due = due


def worker(partner_id, threads: int = 4) -> None:
    """`manage.py worker`, until it is killed."""
    only_of(partner_id)
    call_command("worker", threads=threads)


def work(partner_id) -> int:
    """What is due now; how many jobs that were."""
    only_of(partner_id)
    done = jobs.work()
    connections.close_all()
    return done
