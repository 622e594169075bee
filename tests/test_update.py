"""A new release's migrations run while the release before serves, on tables that are large."""

import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

import pytest
from django.db import connection

from console import expanding
from tests.deployed import Deployed, connect, deployed
from tests.load import load, request
from tests.product import full
from tests.stand_ins.process import ROOT

pytestmark = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="SQLite has one writer at a time, and a migration is one"
)

WORLD = """
import json
from django.contrib.auth import get_user_model
from django.test import Client
from console.models import Account, ApiKey, Partner
from installations.models import Installation
from tests.dataset import multiply
partner = Partner.objects.get(membership__isnull=False)
key = ApiKey(partner=partner, name="update", scopes=["read", "write", "credentials"], created_by="update")
written = key.issue()
key.save()
client = Client()
client.force_login(get_user_model().objects.get(membership__partner=partner))
rows = list(Installation.objects.filter(connector="rotating-test"))
ids = [str(row.pk) for row in rows]
multiply(rows[0], {size})
account = Account.objects.filter(partner=partner).first()
cookie = client.cookies.output(header="").split(";")[0].strip()
print(json.dumps([written, cookie, ids, str(account.pk)]))
"""
# How long the longest has waited that waits for a table now, in seconds.
WAITS = """
SELECT coalesce(max(extract(epoch FROM clock_timestamp() - waitstart)), 0) FROM pg_locks
WHERE NOT granted AND locktype = 'relation'
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def requests_of(made: Deployed, size: int) -> list[bytes]:
    """What the load is made of: pages, the API, and rows that the release before makes."""
    key, cookie, ids, account = json.loads(made.shell(WORLD.format(size=size)))
    api = {"Authorization": f"Bearer {key}"}
    body = json.dumps({"account_id": account, "connector": "heartland-retail"})
    new = request(made.origin, "/api/v1/installations", Content_Type="application/json", **api)
    new = new.replace(b"GET", b"POST", 1)[:-2] + f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
    return [
        request(made.origin, "/installations/", Cookie=cookie),
        request(made.origin, f"/installations/{ids[0]}/", Cookie=cookie),
        request(made.origin, "/api/v1/installations", **api),
        *(request(made.origin, f"/api/v1/installations/{pk}/credential", **api) for pk in ids[:6]),
        new,
    ]


class Watched:
    """The longest wait for a table, as the database sees it."""

    def __init__(self, address: str):
        self.longest, self._address, self._over = 0.0, address, threading.Event()

    def __enter__(self):
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        import psycopg

        with psycopg.connect(self._address, autocommit=True) as watcher:
            while not self._over.wait(0.02):
                self.longest = max(self.longest, float(watcher.execute(WAITS).fetchone()[0]))


def migrate(made: Deployed) -> str:
    """As the release to come does; what it printed."""
    done = subprocess.run(
        [sys.executable, "manage.py", "migrate"],
        cwd=ROOT,
        env={**made.environment, "DJANGO_SETTINGS_MODULE": "tests.next_release.settings"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_an_update_is_noticed_by_nobody(tmp_path):
    """Row 42, B8. Somebody reads the tables for long meanwhile, as a backup does: the worst that can be."""
    import psycopg

    with deployed(tmp_path, "--workers", "2", "--timeout", "60") as made, ThreadPoolExecutor(1) as elsewhere:
        connect(made, [f"grant-{number}" for number in range(8)], ends_in=86_400)
        asked = requests_of(made, full(50_000, 1_000_000))
        address = made.environment["DATABASE_URL"].replace("postgres:", "postgresql:")
        load(made.origin, cycle(asked), seconds=2, per_second=50)
        with psycopg.connect(address) as reader, Watched(address) as watched:
            reader.execute("SELECT 1 FROM installations_installation LIMIT 1")
            migrating = elsewhere.submit(migrate, made)
            began = time.monotonic()
            found = load(made.origin, cycle(asked), seconds=8, per_second=50)
            assert not migrating.done(), "nothing was in its way"
            reader.rollback()
            while not migrating.done():
                found.statuses.update(load(made.origin, cycle(asked), seconds=1, per_second=50).statuses)
            said, took = migrating.result(), time.monotonic() - began
            found.statuses.update(load(made.origin, cycle(asked), seconds=2, per_second=50).statuses)
            with psycopg.connect(address) as another:
                colours = "SELECT colour, count(*) > 50 FROM installations_installation GROUP BY 1"
                assert another.execute(colours).fetchall() == [("grey", True)]
    assert set(found.statuses) == {200, 201}, found.statuses
    assert "it is tried again" in said
    assert watched.longest < 2, watched.longest
    assert found.p99 < 3000, found
    print(f"{found} in {took:.0f} s, the longest wait for a table {watched.longest:.2f} s")


@pytest.mark.django_db(transaction=True)
def test_a_migration_that_finds_no_gap_says_so_in_the_end(monkeypatch):
    from django.db import OperationalError

    def fails():
        with connection.cursor() as cursor:
            cursor.execute("DO $$ BEGIN RAISE EXCEPTION 'busy' USING ERRCODE = '55P03'; END $$")

    monkeypatch.setattr(expanding, "TRIES", 3)
    monkeypatch.setattr(expanding, "PAUSE_SECONDS", 0)
    told = []
    with pytest.raises(OperationalError):
        expanding.again_and_again(fails, told.append)
    assert len(told) == 2
