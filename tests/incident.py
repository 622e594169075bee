"""The drill of an incident: the end of all access of a connector, by real workers, one of which is killed."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from uuid import uuid4

from django.db import connection

from console.models import Account, Job
from console.tenancy import Principal
from installations import incident
from tests.rotating import Rotating, connected
from tests.stand_ins.process import ROOT


@contextmanager
def worker(server: Rotating):
    """A worker of the product, a process of its own on the database at hand."""
    database = connection.settings_dict
    url = os.environ.get("DATABASE_URL", "")
    here = f"sqlite:///{database['NAME']}" if connection.vendor == "sqlite" else url.rsplit("/", 1)[0]
    process = subprocess.Popen(
        [sys.executable, "manage.py", "worker", "--threads", "2"],
        cwd=ROOT,
        env={
            **os.environ,
            "DATABASE_URL": here if connection.vendor == "sqlite" else f"{here}/{database['NAME']}",
            "STAND_IN_ORIGINS": f"https://rotating.test={server.origin}",
            "CONNECTOR_LIBRARIES": str(ROOT / "tests" / "library"),
            "LOG_LEVEL": "WARNING",
        },
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def end_all(
    server: Rotating, account: Account, principal: Principal, number: int, *, patience: float = 600
) -> tuple[float, int]:
    """Connect that many, end them all, kill a worker on the way: (seconds, grants that live on)."""
    grants = [f"g{uuid4().hex[:12]}" for _ in range(number)]
    connected(server, account, grants)
    with worker(server) as first:
        incident.begin(principal, "rotating-test")
        began = time.monotonic()
        while server.asked["revoke"] < number // 10:
            assert time.monotonic() < began + patience
            time.sleep(0.05)
        first.kill()
    # Its jobs fall due again when their lease has run out; here they need not.
    with worker(server), worker(server):
        Job.objects.exclude(started_at=None).update(due_at="2000-01-01T00:00:00Z")
        while not incident.progress(account.partner_id, "rotating-test").is_over:
            assert time.monotonic() < began + patience, incident.progress(account.partner_id, "rotating-test")
            time.sleep(0.2)
        seconds = time.monotonic() - began
    alive = server.state()["grants"]
    return seconds, sum(alive[grant]["alive"] for grant in grants)
