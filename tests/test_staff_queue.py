"""Support sees how background work stands, tries again what was given up, and pauses it."""

import re
import uuid
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.urls import reverse

from console import clock, jobs, queue
from console.models import Event, Job, Pause, User
from tests.conftest import PASSWORD, sign_in

pytestmark = pytest.mark.django_db

LIST = "/staff/console/job/"
REASON = "We move to another server."


def job(partner, **fields) -> Job:
    defaults = {"kind": "renew", "subject_id": uuid.uuid4(), "due_at": clock.now() - timedelta(seconds=90)}
    return Job.objects.create(partner=partner, **{**defaults, **fields})


def shown(client) -> dict[str, str]:
    text = client.get(LIST).content.decode()
    pairs = re.findall(r"<dt>([^<]+)</dt><dd>(?:<(?:a|time)[^>]*>)?([^<]+)", text)
    return dict(pairs)


def try_again(client, *rows):
    form = {"action": "try_again", "_selected_action": [row.pk for row in rows]}
    return client.post(LIST, form, follow=True)


def test_the_list_says_how_deep_and_how_old_the_queue_is_and_what_failed(staff, northwind):
    queue.note_worker(clock.now() - timedelta(minutes=3))
    job(northwind)
    job(northwind, due_at=clock.now())
    job(northwind, started_at=clock.now())
    job(northwind, kind="tell", failed_at=clock.now(), last_error="RuntimeError")
    found = shown(staff)
    assert 90 <= int(found.pop("The oldest waits").split()[0]) < 120
    assert found == {"Due": "2", "Being done": "1", "Given up": "1", "A worker was here": "3\xa0minutes ago"}
    text = staff.get(LIST).content.decode()
    assert "renew: 3 due" in text
    assert "tell: 0 due, 1 given up" in text
    assert staff.get(LIST + "?failed_at__isempty=0").context["cl"].result_count == 1


def test_an_empty_queue_says_so(staff):
    found = shown(staff)
    assert (found["Due"], found["The oldest waits"], found["Given up"]) == ("0", "–", "0")


def test_what_was_given_up_is_tried_again_and_that_is_on_the_record(staff, northwind):
    row = job(northwind, failed_at=clock.now(), attempts=10, last_error="RuntimeError")
    own = job(None, failed_at=clock.now())
    assert "2 jobs are due now." in try_again(staff, row, own).content.decode()
    row.refresh_from_db()
    assert (row.failed_at, row.attempts, row.last_error) == (None, 0, "")
    assert jobs.due().count() == 2
    event = Event.objects.get(kind="job.tried_again")
    assert (event.partner, event.subject_id, event.actor) == (
        northwind,
        row.subject_id,
        "staff@console.example (staff)",
    )
    assert LogEntry.objects.filter(object_id=str(row.pk), change_message__contains="Tried again").exists()


def test_what_a_worker_has_at_this_moment_is_left_to_it(staff, northwind):
    row = job(northwind, started_at=clock.now())
    lease = row.lease
    assert "0 jobs are due now." in try_again(staff, row).content.decode()
    row.refresh_from_db()
    assert row.lease == lease
    assert not Event.objects.exists()


def test_whoever_may_only_look_cannot_try_again_or_pause(northwind):
    user = User.objects.create_user("helper@console.example", PASSWORD, is_staff=True)
    user.user_permissions.add(*Permission.objects.filter(codename__in=["view_job", "view_pause"]))
    helper, row = sign_in(user), job(northwind, failed_at=clock.now())
    assert "try_again" not in helper.get(LIST).content.decode()
    assert "Pause background work" not in helper.get(LIST).content.decode()
    try_again(helper, row)
    row.refresh_from_db()
    assert row.failed_at
    assert helper.post(reverse("admin:console_pause_add"), {"reason": REASON}).status_code == 403
    pause = Pause.objects.create(reason=REASON)
    text = helper.get(LIST).content.decode()
    assert "Background work is paused" in text
    assert ">Resume<" not in text
    assert helper.post(f"/staff/console/pause/{pause.pk}/delete/", {"post": "yes"}).status_code == 403
    assert Pause.objects.exists()


def test_background_work_is_paused_and_resumed_and_everybody_reads_why(staff, owner, northwind):
    job(northwind)
    assert REASON not in owner.client.get("/").content.decode()
    staff.post(reverse("admin:console_pause_add"), {"reason": REASON})
    assert jobs.claim() is None
    for client in (owner.client, staff):
        page = client.get("/" if client is owner.client else LIST).content.decode()
        assert REASON in page
    pause = Pause.objects.get()
    assert f"/staff/console/pause/{pause.pk}/delete/" in staff.get(LIST).content.decode()
    staff.post(f"/staff/console/pause/{pause.pk}/delete/", {"post": "yes"})
    assert jobs.claim() is not None
    assert REASON not in owner.client.get("/").content.decode()
    actions = LogEntry.objects.order_by("pk").values_list("action_flag", "object_repr")
    assert list(actions) == [(1, REASON), (3, REASON)]
