"""A job that is asked for is done, whatever else happens at that moment."""

import re
import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from console import backlog, clock, jobs
from console.models import Job
from tests.product import full

pytestmark = pytest.mark.django_db


def test_a_job_that_ends_while_it_is_asked_for_again_is_made_anew():
    subject = uuid.uuid4()
    jobs.schedule("check", subject, None)
    ended = []

    def end_it(execute, sql, params, many, context):
        if sql.startswith("UPDATE") and not ended:
            ended.append(execute("DELETE FROM console_job", (), False, context))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(end_it):
        jobs.schedule("check", subject, None)
    assert ended
    assert Job.objects.filter(subject_id=subject, started_at=None).count() == 1


@pytest.mark.parametrize(("wanted", "seconds"), [(timedelta(0), 0), (timedelta(hours=2), 3600)])
def test_a_job_that_is_put_off_is_done_earlier_where_somebody_asked_for_that(wanted, seconds):
    subject = uuid.uuid4()
    jobs.schedule("check", subject, None)
    claim = jobs.claim()
    at = clock.now()
    jobs.schedule("check", subject, None, at + wanted)
    claim.put_off("provider_unavailable", timedelta(hours=1))
    row = Job.objects.get()
    assert abs((row.due_at - at).total_seconds() - seconds) < 5
    assert (row.started_at, row.wanted_at) == (None, None)


@pytest.fixture
def many(northwind) -> None:
    """So many that a database reads an index: all wait but one that is due, one under way, one given up."""
    at = clock.now()
    later = [
        Job(kind="check", subject_id=uuid.uuid4(), partner=northwind, due_at=at + timedelta(days=1 + number))
        for number in range(full(5_000, 1_000_000))
    ]
    Job.objects.bulk_create(later, batch_size=10_000)
    for fields in ({}, {"started_at": at, "due_at": at + timedelta(hours=1)}, {"failed_at": at}):
        Job.objects.create(**{"kind": "renew", "subject_id": uuid.uuid4(), "due_at": at, **fields})
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE console_job" if connection.vendor == "postgresql" else "ANALYZE")


def test_how_the_queue_is_costs_no_look_at_what_waits_for_its_time(many):
    with CaptureQueriesContext(connection) as asked:
        found = backlog.state()
    assert (found["due"], found["running"], found["failed"]) == (1, 1, 1)
    assert found["kinds"] == [{"kind": "renew", "due": 1, "failed": 1}]
    explain = "EXPLAIN QUERY PLAN " if connection.vendor == "sqlite" else "EXPLAIN "
    about_jobs = [query["sql"] for query in asked if "console_job" in query["sql"]]
    assert len(about_jobs) == 4
    for sql in about_jobs:
        with connection.cursor() as cursor:
            cursor.execute(explain + sql.replace("%", "%%"))
            plan = " ".join(str(row) for row in cursor.fetchall())
        assert re.search("job_by_due|job_under_way|job_given_up", plan), plan
        assert "Seq Scan" not in plan


def test_a_partner_that_is_back_has_what_was_put_off_done_at_once_in_two_statements(
    many, northwind, contoso, django_assert_num_queries
):
    Job.objects.all().delete()
    at = clock.now()
    soon, far = at + timedelta(minutes=50), at + timedelta(days=3)
    rows = {
        name: Job.objects.create(
            **{"kind": "renew", "subject_id": uuid.uuid4(), "partner": northwind, **fields}
        )
        for name, fields in {
            "put off": {"due_at": soon},
            "later": {"due_at": far},
            "another's": {"due_at": soon, "partner": contoso},
            "given up": {"due_at": soon, "failed_at": at},
            "under way": {"due_at": soon, "started_at": at},
        }.items()
    }
    with django_assert_num_queries(2):
        jobs.hurry(northwind.pk, "renew", within=timedelta(hours=1))
    found = {name: Job.objects.get(pk=row.pk) for name, row in rows.items()}
    now = clock.now()
    assert [name for name, row in found.items() if row.due_at <= now] == ["put off"]
    # Its lease stays whole: nobody takes it over.
    assert [name for name, row in found.items() if row.wanted_at] == ["under way"]
