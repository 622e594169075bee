"""Each line of the log says to which request or job it belongs, and of which partner."""

import json
import logging
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from console import jobs, logs
from console.clock import now
from console.models import Job

pytestmark = pytest.mark.django_db


@pytest.fixture
def lines():
    """What the product's own handler writes as JSON, whatever the root level is."""
    written = []

    class Kept(logging.Handler):
        def emit(self, record):
            written.append(json.loads(self.format(record)))

    kept, root = Kept(), logging.getLogger()
    kept.addFilter(logs.Context())
    kept.setFormatter(logs.Json())
    root.addHandler(kept)
    before = root.level
    root.setLevel(logging.INFO)
    yield written
    root.setLevel(before)
    root.removeHandler(kept)


def test_every_line_of_a_request_holds_its_id_and_its_partner(lines, owner, monkeypatch):
    def within(*args):
        logging.getLogger("anything").warning("written in the middle")
        return []

    monkeypatch.setattr("console.views._with_subjects", within)
    answer = owner.client.get("/")
    inner, last = lines
    assert inner["message"] == "written in the middle"
    for line in lines:
        assert line["ref"] == answer["X-Request-Id"]
        assert line["partner"] == str(owner.partner.pk)
    assert last == {
        **last,
        "level": "INFO",
        "logger": "console.request",
        "method": "GET",
        "route": "/",
        "status": 200,
    }
    assert datetime.now(UTC) - datetime.fromisoformat(last["time"]) < timedelta(minutes=1)
    assert set(last) == {
        *("time", "level", "logger", "message", "ref", "partner"),
        *("method", "route", "status", "ms", "user"),
    }


def test_a_line_outside_of_any_request_holds_none(lines, owner):
    owner.client.get("/")
    logging.getLogger("anything").warning("afterwards")
    assert not {"ref", "partner", "job"} & set(lines[-1])


@pytest.mark.django_db(transaction=True)
def test_every_line_of_a_job_names_the_job_and_its_partner(lines, northwind, monkeypatch):
    def run(claim):
        logging.getLogger("anything").warning("written in the middle")

    monkeypatch.setitem(jobs.HANDLERS, "errand", jobs.Handler(run, timedelta(seconds=60), None))
    subject = uuid.uuid4()
    Job.objects.create(kind="errand", subject_id=subject, partner=northwind, due_at=now())
    assert jobs.work() == 1
    inner, last = (line for line in lines if line["logger"] in ("anything", "console.jobs"))
    for line in (inner, last):
        assert (line["job"], line["partner"]) == (f"errand {subject}", str(northwind.pk))
    assert (last["outcome"], last["message"].split()[:2]) == ("done", ["errand", "done"])


def test_for_people_the_same_stands_at_the_end_of_the_line(owner):
    record = logging.LogRecord("anything", logging.INFO, "", 0, "hello", (), None)
    with logs.about(ref="ABCDEFGH", partner=None):
        logs.Context().filter(record)
    assert record.context == " ref=ABCDEFGH"
