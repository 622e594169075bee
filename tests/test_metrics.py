"""/metrics: for whoever has the token, the same from each of several processes, and nobody's words in it."""

import re
from datetime import timedelta

import pytest
import requests
from django.test import Client

from console import clock, metrics
from console.models import Job, Pause
from installations.models import Circuit, Installation, Status
from tests.deployed import connect, deployed, wait_until

TOKEN = "a-token-for-the-scraper"


@pytest.fixture
def told(settings, db, tmp_path):
    """Asks for the metrics: {("name", (("label", "value"), …)): value}."""
    settings.METRICS_TOKEN = TOKEN

    def ask() -> dict:
        answer = Client(HTTP_HOST="console.test").get(
            "/metrics", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        assert answer.status_code == 200
        return parsed(answer.content.decode())

    return ask


def parsed(text: str) -> dict:
    # Not above: the product says where to count before it is imported.
    from prometheus_client.parser import text_string_to_metric_families as families

    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families(text)
        for sample in family.samples
    }


def test_without_a_token_of_its_own_there_is_nothing(db, settings):
    settings.METRICS_TOKEN = ""
    for header in ("", "Bearer ", "Bearer None"):
        answer = Client(HTTP_HOST="console.test").get("/metrics", headers={"Authorization": header})
        assert answer.status_code == 404


@pytest.mark.parametrize(
    "sent", ["", TOKEN, f"bearer {TOKEN}", f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer ü"]
)
def test_whoever_does_not_have_the_token_learns_nothing(told, sent):
    answer = Client(HTTP_HOST="console.test").get("/metrics", headers={"Authorization": sent})
    assert (answer.status_code, answer.content) == (401, b"")


def test_a_request_is_counted_by_its_route_and_no_address_or_method_of_anybodys(told, owner):
    secret = "a-token-of-somebody"
    browser = Client(HTTP_HOST="console.test")
    key = ("console_request_seconds_count", (("method", "GET"), ("route", "/accounts/"), ("status", "200")))
    before = told().get(key, 0)
    owner.client.get("/accounts/?q=" + secret)
    browser.get(f"/s/{secret}/")
    browser.get(f"/{secret}/")
    browser.generic("SECRETMETHOD", "/accounts/")
    after = told()
    assert after[key] == before + 1
    assert ("console_request_seconds_bucket", (("le", "10.0"), *key[1])) in after
    words = repr(after)
    assert secret not in words
    assert "SECRETMETHOD" not in words
    assert "'other'" in words


def test_how_things_stand_is_read_from_the_database(told, installation, northwind):
    Installation.objects.filter(pk=installation.pk).update(status=Status.CONNECTED)
    past, now = clock.now() - timedelta(seconds=40), clock.now()
    for kind, fields in (
        ("renew", {"due_at": past}),
        ("check", {"due_at": past, "failed_at": now}),
        ("tell", {"due_at": now + timedelta(hours=1), "started_at": now}),
    ):
        Job.objects.create(kind=kind, subject_id=installation.pk, partner=northwind, **fields)
    Circuit.objects.create(partner=northwind, connector="a", since=now, open_until=now + timedelta(hours=1))
    Circuit.objects.create(partner=northwind, connector="b", since=now)
    Pause.objects.create(reason="Restored from a backup")
    found = told()
    expected = {
        "console_jobs_due": 1,
        "console_jobs_running": 1,
        "console_jobs_failed": 1,
        "console_circuits_open": 1,
        "console_paused": 1,
        "console_alerts_open": 0,
    }
    assert {name: found[name, ()] for name in expected} == expected
    assert 40 <= found["console_jobs_oldest_seconds", ()] < 60
    assert found["console_jobs_due_by_kind", (("kind", "renew"),)] == 1
    assert found["console_jobs_failed_by_kind", (("kind", "check"),)] == 1
    assert found["console_installations", (("state", "connected"),)] == 1


def test_where_nobody_asks_nothing_is_counted_or_loaded(db, settings, monkeypatch):
    settings.METRICS_TOKEN = ""
    monkeypatch.setattr(metrics, "_made", None)
    assert Client(HTTP_HOST="console.test").get("/healthz").status_code == 200


def test_three_web_processes_and_a_worker_are_added_up(tmp_path):
    with deployed(tmp_path, "--workers", "3", METRICS_TOKEN=TOKEN) as made:

        def ask() -> dict:
            answer = requests.get(
                made.origin + "/metrics", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=10
            )
            assert answer.status_code == 200
            return parsed(answer.text)

        def asked_for(address: str) -> int:
            # A new connection each time: the processes take turns.
            return requests.get(
                made.origin + address, timeout=10, headers={"Connection": "close"}
            ).status_code

        assert {asked_for("/healthz") for _ in range(60)} == {200}
        key = ("console_request_seconds_count", (("method", "GET"), ("route", "/healthz"), ("status", "200")))
        counts = [ask()[key] for _ in range(10)]
        # From whichever process: all that they have counted together.
        assert set(counts) == {60}
        pids = {re.search(r"_(\d+)\.db", path.name)[1] for path in (tmp_path / "metrics").glob("*.db")}
        assert len(pids) > 1, "only one process was asked, so that nothing was added up"
        connect(made, ["a", "b", "c"])
        made.start_worker()
        renewed = ("console_renewals_total", (("outcome", "renewed"),))
        wait_until(lambda: ask().get(renewed) == 3)
        assert ask()["console_jobs_ended_total", (("kind", "renew"), ("outcome", "done"))] == 3
