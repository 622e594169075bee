"""What an operator does: new keys while the product runs, a backup and its restore.

On databases and with keys of their own, whatever the others run against: the keys of a system that is used
are not to be changed for a drill.
"""

import base64
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.drills.field import Field, Figure
from tests.stand_ins.process import ROOT


class Elsewhere:
    """The product on a database of its own."""

    def __init__(self, folder: Path, name: str, origin: str, keys: str):
        self.environment = {
            **os.environ,
            "DEVELOPMENT": "1",
            "SECRET_KEY": secrets.token_urlsafe(48),
            "ENCRYPTION_KEYS": keys,
            "BASE_URL": "http://127.0.0.1:8000",
            "DATABASE_URL": f"sqlite:///{folder / name}.sqlite3",
            "STAND_IN_ORIGINS": f"https://rotating.test={origin}",
            "CONNECTOR_LIBRARIES": str(ROOT / "tests" / "library"),
            "SPOOL_DIR": str(folder / f"{name}-spool"),
            "QUEUE_FILE": str(folder / f"{name}-queue.sqlite3"),
            "EMAIL_URL": "memorymail://",
            "LOG_LEVEL": "CRITICAL",
        }

    def begin(self, *command: str, keys: str = "") -> subprocess.Popen:
        environment = self.environment | ({"ENCRYPTION_KEYS": keys} if keys else {})
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def do(self, *command: str, keys: str = "") -> str:
        """What it printed. Raises RuntimeError where it failed."""
        return ended(self.begin(*command, keys=keys))

    def manage(self, *command: str, keys: str = "") -> str:
        return self.do("manage.py", *command, keys=keys)

    def act(self, *words: str, keys: str = "") -> dict:
        return json.loads(self.do("-m", "tests.drills.elsewhere", *words, keys=keys))


def ended(process: subprocess.Popen) -> str:
    said, errors = process.communicate(timeout=120)
    if process.returncode:
        raise RuntimeError(f"{process.args[1:]}: {(errors or said).strip().splitlines()[-1]}")
    return said


def _key(name: str) -> str:
    return f"{name}:{base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()}"


def key_rotation(field: Field, installations: int = 60, *, seconds: int = 6) -> Figure:
    """Row 23, C3: everything is sealed with a new key while tokens are read and renewed."""
    old, new = _key("old"), _key("new")
    with tempfile.TemporaryDirectory() as folder:
        there = Elsewhere(Path(folder), "rotated", field.server.origin, old)
        there.manage("migrate", "--verbosity", "0")
        there.act("fill", str(installations))
        load = there.begin("-m", "tests.drills.elsewhere", "use", str(seconds), keys=f"{new},{old}")
        time.sleep(seconds / 2)
        there.manage("rotate_keys", keys=f"{new},{old}")
        used = json.loads(ended(load))
        found = there.act("read", keys=new)
    return Figure(
        "A new key seals everything while tokens are used",
        f"{used['good']} uses ({used['renewed']} renewals), {used['bad']} failed; "
        f"without the old key {found['good']} of {installations} open",
        "0 failed, all open",
        used["bad"] == found["bad"] == 0 and used["renewed"] > 0 and found["good"] == installations,
    )


def backup_and_restore(field: Field, installations: int = 60) -> Figure:
    """Row 42, C11: a backup opens with its keys, says nothing without them, and renews nothing at first."""
    keys = _key("first")
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        there = Elsewhere(Path(folder), "lost", field.server.origin, keys)
        there.manage("migrate", "--verbosity", "0")
        there.act("fill", str(installations))
        file = Path(folder) / "backup"
        there.manage("backup", str(file))
        restored = Elsewhere(Path(folder), "restored", field.server.origin, keys)
        restored.manage("restore", str(file))
        restored.manage("migrate", "--verbosity", "0")
        found = restored.act("read")
        before = field.asked()
        paused = restored.act("use", "1")
        asked = field.asked() - before
        leaked = b"rt-e" in file.read_bytes()
    took = time.monotonic() - started
    return Figure(
        "A backup restored into an empty database",
        f"{found['good']} of {installations} open, {asked} renewals before it is resumed, {took:.0f} s",
        "all open, 0 renewals, 15 minutes",
        found["good"] == installations and asked == paused["renewed"] == 0 and not leaked and took < 15 * 60,
    )
