"""/readyz names each part that is broken: each is broken in turn."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.test.utils import CaptureQueriesContext
from huey import RedisHuey

from console import clock, jobs, queue, readiness
from console.models import Job, KeyCanary, Pause
from tests.stand_ins.process import free_port

pytestmark = pytest.mark.django_db


def asked() -> tuple[int, dict[str, str]]:
    answer = Client(HTTP_HOST="console.test").get("/readyz")
    return answer.status_code, answer.json()["parts"]


def broken() -> dict[str, str]:
    status, parts = asked()
    found = {name: said for name, said in parts.items() if said != "ok"}
    assert status == (503 if found else 200)
    assert list(parts) == ["database", "migrations", "keys", "queue", "workers", "jobs"]
    return found


@pytest.fixture(autouse=True)
def all_is_well(db, monkeypatch):
    monkeypatch.setattr(readiness, "_migrated", False)
    # A test with real transactions empties every table at its end.
    KeyCanary.plant()
    queue.note_worker(clock.now())


def test_where_everything_works_it_is_ready():
    assert broken() == {}


def test_without_the_database_it_says_so_and_tells_nothing_about_it(monkeypatch):
    from django.db import OperationalError

    def fails(*args):
        raise OperationalError('connection to server at "10.1.2.3" failed for user "console"')

    # Its last resort: everything of the product goes through a cursor.
    monkeypatch.setattr(connection, "cursor", fails)
    found = broken()
    assert found["database"] == "does not answer: OperationalError"
    assert "10.1.2.3" not in str(found)


def test_a_migration_that_is_not_applied_is_named():
    MigrationRecorder.Migration.objects.filter(app="console", name__gte="0003").delete()
    assert broken() == {"migrations": "some are not applied: manage.py migrate"}


def test_that_migrations_are_applied_is_asked_once(django_assert_max_num_queries):
    asked()
    with django_assert_max_num_queries(12):
        asked()


def test_keys_that_do_not_open_what_is_stored_are_named(settings):
    KeyCanary.plant()
    settings.ENCRYPTION_KEYS = {"t2": b"another key of thirty-two bytes!"}
    assert broken() == {"keys": "ENCRYPTION_KEYS does not open what is stored"}


def test_without_a_canary_nobody_knows_whether_the_keys_fit():
    KeyCanary.objects.all().delete()
    assert list(broken()) == ["keys"]


def test_a_queue_that_is_down_is_named_and_pages_go_on(monkeypatch, owner):
    down = RedisHuey("partner-console", url=f"redis://127.0.0.1:{free_port()}/0", results=False)
    monkeypatch.setattr(queue.huey, "storage", down.storage)
    assert broken() == {
        "queue": "does not answer: ConnectionError",
        "workers": "does not answer: ConnectionError",
    }
    queue.note_worker(clock.now())
    assert owner.client.get("/").status_code == 200


def test_workers_that_are_gone_are_named():
    queue.note_worker(clock.now() - timedelta(seconds=121))
    assert broken()["workers"].startswith("none was seen for 12")
    queue.note_worker(clock.now() - timedelta(seconds=100))
    assert broken() == {}


@pytest.mark.django_db(transaction=True)
def test_a_worker_says_that_it_is_there_whenever_it_looks_for_work(monkeypatch):
    KeyCanary.plant()
    queue.note_worker(clock.now() - timedelta(hours=1))
    monkeypatch.setattr(jobs, "_noted_at", -1000.0)
    jobs.work()
    assert broken() == {}


def test_work_that_nobody_does_is_named(installation):
    Job.objects.create(kind="check", subject_id=installation.pk, due_at=clock.now() - timedelta(seconds=290))
    assert broken() == {}
    Job.objects.update(due_at=clock.now() - timedelta(seconds=310))
    assert list(broken()) == ["jobs"]
    # Nobody is meant to do it.
    Pause.objects.create(reason="Restored from a backup")
    assert broken() == {}


def test_a_pause_is_named_and_is_no_fault():
    ask = Client(HTTP_HOST="console.test").get
    assert ask("/readyz").json()["paused"] is False
    Pause.objects.create(reason="Restored from a backup")
    answer = ask("/readyz")
    assert (answer.status_code, answer.json()["status"], answer.json()["paused"]) == (200, "ready", True)
    assert "backup" not in answer.content.decode()


def test_the_other_address_asks_for_nothing_but_the_database(django_assert_num_queries):
    with django_assert_num_queries(1):
        assert Client(HTTP_HOST="console.test").get("/healthz").status_code == 200


def test_a_job_that_a_worker_left_behind_counts_as_waiting():
    at = clock.now() - timedelta(minutes=10)
    Job.objects.create(kind="drill", subject_id=uuid4(), due_at=at, started_at=at - timedelta(minutes=1))
    assert "the oldest waits for 600 seconds" in broken()["jobs"]


def test_anybody_may_ask_and_so_it_counts_nothing():
    with CaptureQueriesContext(connection) as queries:
        asked()
    about_jobs = [query["sql"] for query in queries if "console_job" in query["sql"]]
    assert len(about_jobs) == 1
    assert "COUNT(" not in about_jobs[0]
