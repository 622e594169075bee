"""One file, the keys apart from it, and everything opens again; a copy renews nothing until it is told to."""

import json
import os
import subprocess
import sys
import time
import zipfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from console import backup
from tests.product import Product, _database, full
from tests.stand_ins.process import ROOT
from tests.test_secrets_write_only import canary, found_in

CONNECTIONS = full(300, 10_000)
OTHER = "t2:ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1-f4CBgoM="
SECRET = canary()

FILL = f"""
import os, uuid
from datetime import UTC, datetime
from installations import spool
partner = Partner.objects.create(name="Northwind Software", domain="northwind.example")
account = Account.objects.create(partner=partner, name="Harbor Street Outfitters")
count, secret = {CONNECTIONS}, os.environ["TEST_SECRET"]
rows = Installation.objects.bulk_create(
    Installation(partner=partner, account=account, connector="acme", status="connected") for _ in range(count)
)
versions = CredentialVersion.objects.bulk_create(
    CredentialVersion(partner=partner, installation=row, token={{"n": n, "secret": secret}})
    for n, row in enumerate(rows)
)
Credential.objects.bulk_create(
    Credential(partner=partner, installation=row, current=version)
    for row, version in zip(rows, versions)
)
ids = uuid.uuid4(), partner.pk, uuid.uuid4(), uuid.uuid4()
spool.keep(spool.Answer(*ids, 200, secret.encode(), datetime.now(UTC)))
"""
READ = """
import os
from installations import spool
found = [row.current.token for row in Credential.objects.select_related("current")]
secret = os.environ["TEST_SECRET"]
print("read", len({token["n"] for token in found}), {token["secret"] for token in found} == {secret})
print("spool", [answer.body.decode() == secret for answer in spool.kept()])
print("paused", [pause.reason for pause in Pause.objects.all()])
print("jobs", __import__("console.jobs").jobs.claim())
"""


@contextmanager
def site(folder: Path):
    """A database and a spool of its own, empty yet."""
    folder.mkdir()
    with _database(folder) as database:
        environment = {
            **os.environ,
            "DATABASE_URL": database,
            "SPOOL_DIR": str(folder / "spool"),
            "QUEUE_FILE": str(folder / "queue.sqlite3"),
            "TEST_SECRET": SECRET,
        }
        yield Product("", None, environment)


def refusal(made: Product, *arguments: str, **changes: str) -> str:
    """What a command says that must not succeed."""
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**made.environment, **changes},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def backed_up(tmp_path_factory):
    """A system with connections, and its backup."""
    folder = tmp_path_factory.mktemp("backup")
    with site(folder / "first") as made:
        made.manage("migrate", "--verbosity", "0")
        made.shell(FILL)
        file = folder / "console.backup"
        said = made.manage("backup", str(file))
        assert "you need of ENCRYPTION_KEYS: t2" in said
        yield made, file


@pytest.fixture
def empty(tmp_path):
    with site(tmp_path / "second") as made:
        yield made


def test_everything_opens_again_and_nothing_is_renewed_until_it_is_told_to(backed_up, empty):
    """Row 42 of the scorecard: all of it, within fifteen minutes."""
    started = time.monotonic()
    said = empty.manage("restore", str(backed_up[1]))
    seconds = time.monotonic() - started
    assert "manage.py resume" in said
    assert seconds < 15 * 60
    read = empty.shell(READ)
    assert f"read {CONNECTIONS} True" in read
    assert "spool [True]" in read
    assert "paused ['This is a restored copy." in read
    assert "jobs None" in read
    empty.manage("migrate", "--verbosity", "0")
    assert "started" in empty.shell("import console.wsgi; print('started')")
    assert "Ended: This is a restored copy." in empty.manage("resume")
    assert "paused []" in empty.shell(READ)
    assert "Nothing was paused" in empty.manage("resume")
    print(f"{CONNECTIONS} connections restored in {seconds:.1f} s")


def test_the_file_tells_nothing_to_whoever_has_no_key(backed_up):
    made, file = backed_up
    with zipfile.ZipFile(file) as opened:
        content = {name: opened.read(name) for name in opened.namelist()}
    manifest = json.loads(content["manifest.json"])
    assert manifest["key_ids"] == ["t2"]
    assert len([name for name in content if name.startswith("spool/")]) == 1
    secrets = {"token": SECRET}
    secrets |= {entry[:2]: entry[3:] for entry in made.environment["ENCRYPTION_KEYS"].split(",")}
    secrets["SECRET_KEY"] = made.environment["SECRET_KEY"]
    for name, data in content.items():
        assert found_in(secrets, data) == [], name
    if manifest["database"] == "sqlite":
        assert b"Harbor Street Outfitters" in content["database"]
    assert os.stat(file).st_mode & 0o077 == 0


def test_with_the_wrong_keys_nothing_is_restored(backed_up, empty):
    file = str(backed_up[1])
    said = refusal(empty, "restore", file, ENCRYPTION_KEYS=OTHER)
    assert "ENCRYPTION_KEYS does not fit the backup: damaged, or moved from another place." in said
    said = refusal(empty, "restore", file, ENCRYPTION_KEYS=OTHER.replace("t2:", "t9:"))
    assert "ENCRYPTION_KEYS lacks t2" in said
    assert "Nothing was changed." in said
    # It is as empty as before.
    empty.manage("restore", file)


def test_a_database_that_is_not_empty_is_left_alone(backed_up):
    made, file = backed_up
    assert "The database is not empty" in refusal(made, "restore", str(file))
    assert "paused []" in made.shell(READ)


def test_what_is_no_backup_is_refused_in_plain_words(backed_up, empty, tmp_path):
    file = backed_up[1]
    broken = tmp_path / "broken"
    broken.write_bytes(file.read_bytes()[:-1000])
    assert "is not a backup, or it is damaged" in refusal(empty, "restore", str(broken))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 255
    broken.write_bytes(data)
    assert "damaged" in refusal(empty, "restore", str(broken))
    assert "No such file" in refusal(empty, "restore", str(tmp_path / "nothing"))
    with zipfile.ZipFile(broken, "w") as other:
        other.writestr("a", "b")
    assert "is not a backup" in refusal(empty, "restore", str(broken))


def changed(file: Path, target: Path, **changes) -> str:
    """A backup with another manifest."""
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "manifest.json":
                data = json.dumps({**json.loads(data), **changes}).encode()
            new.writestr(name, data)
    return str(target)


def test_a_backup_of_another_kind_or_a_newer_version_is_refused(backed_up, empty, tmp_path):
    file = backed_up[1]
    for changes, why in (
        ({"database": "oracle"}, "The backup is of oracle"),
        ({"migrations": ["console.9999_later"]}, "made by a newer version, which has console.9999_later"),
        ({"format": 2}, "a form that this version does not know"),
    ):
        assert why in refusal(empty, "restore", changed(file, tmp_path / "changed", **changes))


def test_an_answer_of_the_spool_is_written_nowhere_but_there(backed_up, empty, tmp_path):
    hostile = tmp_path / "hostile"
    hostile.write_bytes(backed_up[1].read_bytes())
    with zipfile.ZipFile(hostile, "a") as file:
        file.writestr("spool/../../../escaped", "x")
    empty.manage("restore", str(hostile))
    assert (tmp_path / "second" / "spool" / "escaped").exists()
    assert not (tmp_path.parent / "escaped").exists()


def test_a_copy_is_paused_whatever_comes_of_its_spool(backed_up, empty, tmp_path):
    damaged = tmp_path / "damaged"
    damaged.write_bytes(backed_up[1].read_bytes())
    with zipfile.ZipFile(damaged, "a") as file:
        # No file can be called that.
        file.writestr("spool/..", "x")
    said = refusal(empty, "restore", str(damaged))
    assert "The database was restored and is paused, the answers in the spool were not" in said
    assert "paused ['This is a restored copy." in empty.shell(READ)


@pytest.mark.django_db(transaction=True)
def test_an_answer_that_is_written_meanwhile_does_not_end_the_backup(tmp_path, monkeypatch):
    monkeypatch.setattr(backup, "_answers", lambda: [tmp_path / "gone"])
    backup.make(tmp_path / "file")
    with zipfile.ZipFile(tmp_path / "file") as file:
        assert sorted(file.namelist()) == ["database", "manifest.json"]


def test_an_earlier_backup_is_not_written_over(backed_up, tmp_path):
    made, file = backed_up
    before = file.read_bytes()
    assert "is there already" in refusal(made, "backup", str(file))
    assert file.read_bytes() == before


def test_a_backup_that_fails_leaves_nothing_behind(backed_up, tmp_path):
    made, _ = backed_up
    said = refusal(made, "backup", str(tmp_path / "no" / "such" / "folder"))
    assert "No such file" in said
    if made.environment["DATABASE_URL"].startswith("postgres"):
        said = refusal(made, "backup", str(tmp_path / "file"), PATH="/nowhere")
        assert "pg_dump is missing" in said
    assert list(tmp_path.iterdir()) == []
