"""What is to be done in the background is done once, whatever becomes of the workers."""

from uuid import uuid4

import pytest
from django.db import connection

from console import clock, jobs
from console.models import Event, Job
from tests.drills import jobs_of_drill, killing
from tests.product import full

pytestmark = pytest.mark.django_db(transaction=True)


def test_row_41_workers_that_are_killed_and_have_wrong_clocks_lose_no_job_and_do_none_twice(field):
    figure = killing.killed_workers(field, full(10, 50), jobs=full(100, 400), renewals=full(20, 40))
    assert figure, figure


def test_row_41_killed_at_every_moment_what_holds_for_an_installation_holds(field):
    figure = killing.at_every_moment(field, full(2, 100))
    assert figure, figure


@pytest.mark.skipif(connection.vendor == "sqlite", reason="a file has no connections that end")
def test_row_41_connections_that_end_under_load_lose_nothing(field):
    figure = killing.broken_connections(field, full(2, 10), renewals=full(30, 120))
    assert figure, figure


def test_a_worker_that_stalls_past_its_lease_writes_nothing(field):
    subject = uuid4()
    jobs.schedule(jobs_of_drill.KIND, subject, field.partner.pk)
    stalled = jobs.claim()
    assert jobs.claim() is None, "it is in hand"
    field.age(3, Job)
    other = jobs.claim()
    assert other.job == stalled.job
    again = clock.now()
    with pytest.raises(jobs.LeaseLost), stalled.finish(again):
        Event.objects.create(partner=field.partner, kind="effect", actor="a", text="t", subject_id=subject)
    stalled.put_off("late", jobs.FIRST_RETRY)
    assert not Event.objects.filter(kind="effect").exists()
    with other.finish(again):
        Event.objects.create(partner=field.partner, kind="effect", actor="a", text="t", subject_id=subject)
    assert Event.objects.filter(kind="effect").count() == 1
    assert Job.objects.get(subject_id=subject).last_error == ""


def test_what_is_wanted_once_more_while_it_is_given_up_begins_anew(field):
    subject = uuid4()
    jobs.schedule(jobs_of_drill.KIND, subject, field.partner.pk)
    held = jobs.claim()
    jobs.schedule(jobs_of_drill.KIND, subject, field.partner.pk)
    held.give_up("late")
    (row,) = Job.objects.all()
    assert (row.failed_at, row.wanted_at, row.attempts, row.last_error) == (None, None, 0, "late")
    assert jobs.work() == 1
    assert Event.objects.filter(kind=jobs_of_drill.KIND, subject_id=subject).count() == 1


def test_what_is_wanted_once_more_while_it_is_done_is_done_once_more(field):
    subject = uuid4()
    jobs.schedule(jobs_of_drill.KIND, subject, field.partner.pk)
    held = jobs.claim()
    jobs.schedule(jobs_of_drill.KIND, subject, field.partner.pk)
    jobs.run(held)
    assert jobs.work() == 1
    assert Event.objects.filter(kind=jobs_of_drill.KIND, subject_id=subject).count() == 2
    assert not Job.objects.exists()
