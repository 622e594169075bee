"""Database servers for tests: the programs themselves, each in a folder of its own, with TLS and a user."""

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pymysql

from tests.stand_ins.process import free_port
from tests.stand_ins.quirks import Authority

USERNAME, PASSWORD, DATABASE = "console", "correct horse: battery'\\ staple", "orders"
HOST = "db.example.com"
SECONDS = 30


@dataclass
class Database:
    protocol: str
    origin: str
    # The authority that signed its certificate, PEM.
    authority: str


def program(name: str) -> str | None:
    """Where a server's program is; Debian keeps PostgreSQL's off the path."""
    beside = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(beside[-1]) if beside else None)


POSTGRESQL = {"initdb": program("initdb"), "postgres": program("postgres")}
if POSTGRESQL["initdb"]:
    # Both of one version.
    POSTGRESQL["postgres"] = str(Path(POSTGRESQL["initdb"]).with_name("postgres"))
MARIADB = {"install": program("mariadb-install-db"), "server": program("mariadbd")}


def _user() -> str:
    """Neither of them runs as root."""
    return "nobody" if os.geteuid() == 0 else getpass.getuser()


def _certificate(folder: Path) -> tuple[Path, str]:
    """A file with the server's key and certificate, and the authority's certificate."""
    authority = Authority(folder)
    authority.issue(HOST)
    pem = folder / f"{HOST}-False-False.pem"
    pem.chmod(0o600)
    return pem, authority.bundle.read_text()


def _given(folder: Path, user: str) -> None:
    for path in (folder, *folder.rglob("*")):
        shutil.chown(path, user)


@contextmanager
def _running(command: list[str], folder: Path, user: str, is_up) -> Iterator[None]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, user=user, cwd=folder)
        try:
            until = time.monotonic() + SECONDS
            while not is_up():
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError((folder / "log").read_text(errors="replace"))
                time.sleep(0.1)
            yield
        finally:
            process.terminate()
            process.wait(SECONDS)


@contextmanager
def _folder() -> Iterator[Path]:
    """One that another user reaches, which those of pytest are not."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@contextmanager
def postgresql() -> Iterator[Database]:
    with _folder() as folder, _postgresql(folder) as database:
        yield database


@contextmanager
def mariadb() -> Iterator[Database]:
    with _folder() as folder, _mariadb(folder) as database:
        yield database


@contextmanager
def _postgresql(folder: Path) -> Iterator[Database]:
    user, port, data = _user(), free_port(), folder / "data"
    pem, authority = _certificate(folder)
    (folder / "password").write_text("of nobody's interest")
    _given(folder, user)
    subprocess.run(
        [POSTGRESQL["initdb"], "-D", data, "-U", "root", "--auth=scram-sha-256", "--pwfile=password", "-N"],
        user=user,
        cwd=folder,
        check=True,
        capture_output=True,
    )
    (data / "pg_hba.conf").write_text("local all root trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
    command = [
        POSTGRESQL["postgres"],
        "-D",
        data,
        "-p",
        port,
        "-k",
        folder,
        "-c",
        "listen_addresses=127.0.0.1",
    ]
    command += ["-c", "ssl=on", "-c", f"ssl_cert_file={pem}", "-c", f"ssl_key_file={pem}", "-c", "fsync=off"]
    local = {"host": str(folder), "port": port, "user": "root", "dbname": "postgres", "autocommit": True}

    def is_up() -> bool:
        try:
            psycopg.connect(**local).close()
        except psycopg.OperationalError:
            return False
        return True

    with _running([str(part) for part in command], folder, user, is_up):
        with psycopg.connect(**local) as connection:
            words = PASSWORD.replace("'", "''")
            connection.execute(f"create role {USERNAME} login password '{words}'")
            connection.execute(f"create database {DATABASE}")
            connection.execute("create database private")
            connection.execute("revoke connect on database private from public")
        yield Database("postgresql", f"http://127.0.0.1:{port}", authority)


@contextmanager
def _mariadb(folder: Path) -> Iterator[Database]:
    user, port, data = _user(), free_port(), folder / "data"
    pem, authority = _certificate(folder)
    data.mkdir()
    _given(folder, user)
    subprocess.run(
        [
            MARIADB["install"],
            "--no-defaults",
            f"--datadir={data}",
            "--auth-root-authentication-method=normal",
        ],
        user=user,
        cwd=folder,
        check=True,
        capture_output=True,
    )
    command = [MARIADB["server"], "--no-defaults", f"--datadir={data}", f"--port={port}"]
    command += ["--bind-address=127.0.0.1", f"--socket={folder}/socket", f"--pid-file={folder}/pid"]
    command += [f"--ssl-cert={pem}", f"--ssl-key={pem}", "--skip-name-resolve"]
    local = {"unix_socket": f"{folder}/socket", "user": "root", "autocommit": True}

    def is_up() -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(local["unix_socket"]) == 0

    with _running(command, folder, user, is_up):
        with pymysql.connect(**local) as connection, connection.cursor() as cursor:
            cursor.execute(f"create database {DATABASE}")
            cursor.execute("create database private")
            cursor.execute(f"create user {USERNAME} identified by %s", [PASSWORD])
            cursor.execute(f"grant select on {DATABASE}.* to {USERNAME}")
        yield Database("mysql", f"http://127.0.0.1:{port}", authority)
