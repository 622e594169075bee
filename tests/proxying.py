"""The console as it is deployed, in front of a stand-in for every provider: for what passes through it."""

from contextlib import contextmanager
from pathlib import Path

from tests.product import Product, _database, _served, environment_of
from tests.stand_ins.control import StandIn
from tests.stand_ins.process import free_port


@contextmanager
def proxying(folder: Path, provider: str, workers: int = 1, **changes: str):
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    with _database(folder) as database:
        own = {"QUEUE_FILE": str(folder / "queue.sqlite3"), "SPOOL_DIR": str(folder / "spool")}
        own |= {"STAND_IN_ORIGINS": f"https://*={provider}", "API_CALLS_PER_MINUTE": "1000000"}
        environment = environment_of(folder, origin, database, **{**own, **changes})
        made = Product(origin, StandIn(provider), environment)
        made.begin()
        with _served(environment, port, "--workers", str(workers), "--reuse-port") as made.server:
            yield made
