"""One file with all that is stored, and the way back into an empty database.

Keys are not in it: what is sealed stays sealed, and opens only where ENCRYPTION_KEYS has the keys that the
manifest names. A restored copy begins paused, since two systems that renew the same grants end them for both.
"""

import base64
import json
import os
import shutil
import sqlite3
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from uuid import UUID

from django.apps import apps
from django.conf import settings
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from console import clock, crypto, rotation
from console.models import KeyCanary, Pause

FORMAT = 1
MANIFEST, DATABASE, SPOOL = "manifest.json", "database", "spool/"
REASON = "This is a restored copy. The system that it was copied from must not run any more."


class CannotRestore(Exception):
    """Why nothing was done, in words for whoever runs the server."""


class SpoolLeftOut(Exception):
    """The database was restored, what the spool held was not; why, in words for whoever runs the server."""


# ── making one ──────────────────────────────────────────────────────────────────────────────────


def make(target: Path) -> dict:
    """Write the backup; its manifest. Raises FileExistsError, CannotRestore where a tool is missing."""
    unfinished = target.with_name(f".{target.name}.part")
    with open(target, "xb"):
        # Ours from now on: an earlier backup is never written over.
        pass
    try:
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            dump = Path(folder) / DATABASE
            with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as file:
                # First: an answer that is written meanwhile is then in both, which does no harm.
                for path in _answers():
                    # One that is gone by now is in the database.
                    with suppress(FileNotFoundError):
                        file.write(path, SPOOL + path.name)
                _dump(dump)
                file.write(dump, DATABASE)
                manifest = _manifest()
                file.writestr(MANIFEST, json.dumps(manifest, indent=2))
        os.replace(unfinished, target)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        target.unlink()
        raise
    return manifest


def _answers() -> list[Path]:
    return [path for path in settings.SPOOL_DIR.glob("*") if path.suffix != ".part"]


def _dump(dump: Path) -> None:
    if connection.vendor == "sqlite":
        connection.ensure_connection()
        with closing(sqlite3.connect(dump)) as copy:
            connection.connection.backup(copy)
    else:
        _run("pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={dump}")


def _manifest() -> dict:
    loader = MigrationLoader(connection)
    return {
        "format": FORMAT,
        "made_at": clock.now().isoformat(timespec="seconds"),
        "database": connection.vendor,
        "migrations": sorted(".".join(name) for name in loader.applied_migrations),
        "key_ids": rotation.key_ids(),
        # Sealed: whether a ring fits is known before anything is restored.
        "canaries": {
            str(row.pk): base64.b64encode(row.__dict__["value"]).decode() for row in KeyCanary.objects.all()
        },
    }


# ── taking one back ─────────────────────────────────────────────────────────────────────────────


def restore(source: Path) -> dict:
    """Fill the empty database, paused; the manifest. Raises CannotRestore, SpoolLeftOut."""
    with _opened(source) as file, tempfile.TemporaryDirectory() as folder:
        manifest = _checked(file)
        file.extract(DATABASE, folder)
        _load(Path(folder) / DATABASE)
        # Before anything else that may fail: a copy that is not paused ends the grants of the other one.
        Pause.objects.create(reason=REASON)
        try:
            _spool(file)
        except OSError as error:
            raise SpoolLeftOut(error.strerror) from error
    return manifest


def _spool(file: zipfile.ZipFile) -> None:
    settings.SPOOL_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in file.namelist():
        if name.startswith(SPOOL):
            # The name's last part alone: whoever made the file must not choose where it is written.
            (settings.SPOOL_DIR / Path(name).name).write_bytes(file.read(name))


@contextmanager
def _opened(source: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(source) as file:
            yield file
    except (zipfile.BadZipFile, KeyError) as error:
        raise CannotRestore(f"{source} is not a backup, or it is damaged.") from error
    except OSError as error:
        raise CannotRestore(f"{source} cannot be read: {error.strerror}.") from error


def _checked(file: zipfile.ZipFile) -> dict:
    if damaged := file.testzip():
        raise CannotRestore(f"The backup is damaged: {damaged}.")
    manifest = json.loads(file.read(MANIFEST))
    if manifest["format"] != FORMAT:
        raise CannotRestore("The backup has a form that this version does not know.")
    if manifest["database"] != connection.vendor:
        raise CannotRestore(
            f"The backup is of {manifest['database']}, and DATABASE_URL names {connection.vendor}."
        )
    known = {".".join(name) for name in MigrationLoader(None, ignore_no_migrations=True).disk_migrations}
    if newer := sorted(set(manifest["migrations"]) - known):
        raise CannotRestore(
            f"The backup was made by a newer version, which has {newer[0]}. Install that one."
        )
    if missing := sorted(set(manifest["key_ids"]) - settings.ENCRYPTION_KEYS.keys()):
        raise CannotRestore(
            f"ENCRYPTION_KEYS lacks {', '.join(missing)}, with which values in the backup are sealed. "
            "Set the keys of the system that the backup was made of."
        )
    for pk, sealed in manifest["canaries"].items():
        canary = KeyCanary(pk=UUID(pk))
        try:
            crypto.unseal(base64.b64decode(sealed), KeyCanary._meta.get_field("value").context(canary))
        except crypto.CannotOpen as error:
            raise CannotRestore(f"ENCRYPTION_KEYS does not fit the backup: {error}.") from error
    if connection.introspection.table_names():
        raise CannotRestore("The database is not empty. Name a new one in DATABASE_URL.")
    return manifest


def _load(dump: Path) -> None:
    if connection.vendor == "sqlite":
        connection.ensure_connection()
        with closing(sqlite3.connect(dump)) as copy:
            copy.backup(connection.connection)
    else:
        name = connection.settings_dict["NAME"]
        # One transaction: all of it or nothing.
        once = ("--single-transaction", "--exit-on-error")
        _run("pg_restore", *once, "--no-owner", "--no-privileges", f"--dbname={name}", str(dump))
    # What a process has looked up before is no longer so.
    apps.get_model("contenttypes.ContentType").objects.clear_cache()


def _run(tool: str, *arguments: str) -> None:
    """One of PostgreSQL's tools. The password goes by the environment: arguments are for all to read."""
    if not shutil.which(tool):
        raise CannotRestore(f"{tool} is missing. On Debian: apt install postgresql-client")
    place = connection.get_connection_params()
    names = {
        "PGHOST": "host",
        "PGPORT": "port",
        "PGUSER": "user",
        "PGPASSWORD": "password",
        "PGDATABASE": "dbname",
        "PGSSLMODE": "sslmode",
        "PGSSLROOTCERT": "sslrootcert",
        "PGPASSFILE": "passfile",
        "PGSERVICE": "service",
    }
    found = {name: str(place[key]) for name, key in names.items() if place.get(key)}
    done = subprocess.run(  # noqa: S603 - our own arguments
        [tool, *arguments],
        env={**os.environ, **found},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        raise CannotRestore(f"{tool} failed: {done.stderr.strip()[:1000]}")
