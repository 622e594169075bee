"""The product as it is deployed: gunicorn with several processes, workers, one database, one queue."""

import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.product import Product, _database, _served, environment_of
from tests.rotating import Rotating
from tests.stand_ins.control import StandIn
from tests.stand_ins.process import ROOT, free_port, running


@dataclass
class Worker:
    """`manage.py worker` as a process of its own."""

    process: subprocess.Popen
    written: tempfile.TemporaryFile = field(repr=False)

    def log(self) -> str:
        size = os.fstat(self.written.fileno()).st_size
        return os.pread(self.written.fileno(), size, 0).decode(errors="replace")

    def end(self) -> int:
        """Ask it to end; the exit status."""
        self.process.terminate()
        return self.process.wait(30)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.written.close()


@dataclass
class Deployed(Product):
    rotating: Rotating | None = None
    workers: list[Worker] = field(default_factory=list)
    folder: Path | None = None

    def start_worker(self, *arguments: str, **changes: str) -> Worker:
        log = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the worker
        process = subprocess.Popen(
            [sys.executable, "manage.py", "worker", *arguments],
            cwd=ROOT,
            env={**self.environment, **changes},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        self.workers.append(Worker(process, log))
        return self.workers[-1]

    def until(self, code: str, *, seconds: float = 60) -> str:
        """Ask again and again until the code prints something; what it printed."""
        return wait_until(lambda: self.shell(code).strip(), seconds=seconds)


def wait_until(asked, *, seconds: float = 60):
    """The first answer that is not empty. Raises AssertionError where there is none in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := asked():
            return found
        time.sleep(0.3)
    raise AssertionError("it did not come to be in time")


@contextmanager
def deployed(folder: Path, *more: str, **changes: str):
    """`more` goes to gunicorn, `changes` to the environment. Workers are started by whoever wants some."""
    with ExitStack() as stack:
        heartland = stack.enter_context(
            running("tests.stand_ins.heartland", "--state", str(folder / "state.json"))
        ).origin
        rotating = stack.enter_context(running("tests.stand_ins.rotating")).origin
        database = stack.enter_context(_database(folder))
        port = free_port()
        origin = f"http://127.0.0.1:{port}"
        stand_ins = {
            "https://retail.heartland.us": heartland,
            "https://*.retail.heartland.us": heartland,
            "https://rotating.test": rotating,
        }
        own = {
            "QUEUE_FILE": str(folder / "queue.sqlite3"),
            "SPOOL_DIR": str(folder / "spool"),
            "METRICS_DIR": str(folder / "metrics"),
            "CONNECTOR_LIBRARIES": str(ROOT / "tests" / "library"),
            "STAND_IN_ORIGINS": ",".join(f"{name}={target}" for name, target in stand_ins.items()),
        }
        environment = environment_of(folder, origin, database, **{**own, **changes})
        made = Deployed(origin, StandIn(heartland), environment, rotating=Rotating(rotating), folder=folder)
        stack.callback(lambda: [worker.kill() for worker in made.workers])
        made.begin()
        made.server = stack.enter_context(_served(environment, port, *more))
        yield made


# For `shell`: installations at the rotating stand-in, their jobs due now.
CONNECT = """
import os
from tests.rotating import Rotating, connected, store_client
from console import jobs
from console.models import Account
account = Account.objects.first()
store_client(account.partner)
for row in connected(Rotating(os.environ["ROTATING"]), account, {grants!r}, ends_in={ends_in}):
    jobs.schedule("renew", row.pk, row.partner_id)
"""


def connect(made: Deployed, grants: list[str], *, ends_in: float = 30) -> None:
    """Installations whose tokens are about to end, and that wait to be renewed."""
    made.environment["ROTATING"] = made.rotating.origin
    made.shell(CONNECT.format(grants=grants, ends_in=ends_in))
