"""The product as its own processes, for tests that need real HTTP, real threads or a real browser."""

import os
import re
import subprocess
import sys
import tempfile
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.stand_ins.control import StandIn
from tests.stand_ins.process import ROOT, Running, free_port


def full(default: int, everything: int) -> int:
    """How many rounds a test makes: a sample, or with FULL=1 in the environment the whole figure."""
    return everything if os.environ.get("FULL") == "1" else default


BEGIN = """
from django.core.management import call_command
call_command("migrate", verbosity=0)
call_command("collectstatic", interactive=False, verbosity=0)
call_command("demo")
"""


@dataclass
class Product:
    origin: str
    heartland: StandIn
    environment: dict[str, str] = field(repr=False)
    server: Running | None = None
    # E-mail and password of the demonstration's people.
    admin: tuple[str, str] = ("", "")
    staff: tuple[str, str] = ("", "")

    def manage(self, *args: str) -> str:
        """Run a management command beside the server, in its environment; what it printed."""
        done = subprocess.run(
            [sys.executable, "manage.py", *args],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, f"manage.py {' '.join(args)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def shell(self, code: str) -> str:
        """Run Python with every model imported; what it printed."""
        return self.manage("shell", "--verbosity", "0", "-c", code)

    def begin(self) -> None:
        """Tables, static files and the demonstration, by one process: each costs a second to start."""
        said = self.shell(BEGIN)
        self.admin, self.staff = (tuple(line.split()[-2:]) for line in said.splitlines() if "@" in line)

    def log(self) -> str:
        """What the server has written to its standard error so far."""
        return self.server.output()


@contextmanager
def _database(folder: Path):
    """The address of an empty database: a file, or a new one where DATABASE_URL names PostgreSQL."""
    url = os.environ.get("DATABASE_URL", "")
    if not url.startswith(("postgres://", "postgresql://", "psql://")):
        yield f"sqlite:///{folder / 'product.sqlite3'}"
        return
    import psycopg

    name = f"product_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(re.sub(r"^\w+", "postgresql", url), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        try:
            yield re.sub(r"(//[^/]*/)[^?]*", rf"\g<1>{name}", url)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def _served(environment: dict[str, str], port: int, *more: str):
    command = [*more, "--bind", f"127.0.0.1:{port}", "--worker-class", "gthread", "--threads", "16"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "console.wsgi", *command, "--log-level", "warning"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        server = Running("gunicorn console.wsgi", port, process, log)
        try:
            server.wait_until_it_answers()
            yield server
        finally:
            server.stop()


def environment_of(folder: Path, origin: str, database: str, **changes: str) -> dict[str, str]:
    """What a console at that address is started with, its files in that folder."""
    return {
        **os.environ,
        "DEVELOPMENT": "1",
        "BASE_URL": origin,
        "ALLOWED_HOSTS": "127.0.0.1",
        "DATABASE_URL": database,
        "STATIC_ROOT": str(folder / "static"),
        "DEMO_FILE": str(folder / "demo.txt"),
        "EMAIL_URL": f"filemail:///{folder / 'mail'}",
        "PYTHONUNBUFFERED": "1",
        **changes,
    }


@pytest.fixture(scope="session")
def product(heartland_process, tmp_path_factory):
    folder = tmp_path_factory.mktemp("product")
    port, heartland = free_port(), heartland_process.origin
    origin = f"http://127.0.0.1:{port}"
    stand_ins = f"https://retail.heartland.us={heartland},https://*.retail.heartland.us={heartland}"
    with _database(folder) as database:
        environment = environment_of(folder, origin, database, STAND_IN_ORIGINS=stand_ins)
        made = Product(origin, StandIn(heartland), environment)
        made.begin()
        with _served(environment, port) as made.server:
            yield made
