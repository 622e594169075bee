"""A job that is asked for is done, whatever else happens at that moment."""

import uuid

import pytest
from django.db import connection

from console import jobs
from console.models import Job

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
