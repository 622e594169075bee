"""Answers of token endpoints between their arrival and the database.

A rotated refresh token exists in one copy, in the answer: should the process be killed or the database fail
at that moment, it would be lost for good. So each answer to a renewal is written to a file, sealed, and
flushed to the disk before anything reads it, and the file goes only after the database has taken the token.
"""

import base64
import logging
import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from django.conf import settings

from console import crypto
from console.tidying import daily

log = logging.getLogger("installations.spool")

# A file that is being written. No process writes one for as long as that.
UNFINISHED, KEPT_UNFINISHED = ".part", timedelta(days=1)


@dataclass(frozen=True)
class Answer:
    """An answer to a renewal, as it came."""

    credential_id: UUID
    partner_id: UUID
    # The version of the credential that was renewed, and the lease under which it was.
    version_id: UUID
    lease: UUID
    status: int
    body: bytes = field(repr=False)
    requested_at: datetime
    # For what is to become of the token where the credential is gone.
    installation_id: UUID | None = None

    def __reduce__(self):
        raise TypeError("an answer is not pickled")

    @property
    def path(self) -> Path:
        return _path(self.credential_id, self.lease)

    def forget(self) -> None:
        forget(self.credential_id, self.lease)


def _path(credential_id: UUID, lease: UUID) -> Path:
    return settings.SPOOL_DIR / f"{credential_id}.{lease}"


def forget(credential_id: UUID, lease: UUID) -> None:
    _path(credential_id, lease).unlink(missing_ok=True)


def _context(partner_id: str, credential_id: str) -> crypto.Context:
    return crypto.Context("spool", "answer", partner_id, credential_id)


def keep(answer: Answer) -> None:
    """Write it down, so that it is there after a loss of power too. Raises OSError."""
    said = {
        "version": str(answer.version_id),
        "status": answer.status,
        "body": base64.b64encode(answer.body).decode(),
        "requested_at": answer.requested_at.isoformat(),
        "installation": answer.installation_id and str(answer.installation_id),
    }
    partner = str(answer.partner_id)
    sealed = crypto.seal(said, _context(partner, str(answer.credential_id)))
    folder = settings.SPOOL_DIR
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = answer.path.with_name(answer.path.name + UNFINISHED)
    with open(unfinished, "wb") as file:
        # The partner's id in front: without it nobody could open what follows.
        file.write(UUID(partner).bytes + sealed)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, answer.path)
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def kept(credential_id: UUID | None = None) -> list[Answer]:
    """What is still there, of one credential or of all, oldest first. What cannot be read stays as it is."""
    if not settings.SPOOL_DIR.is_dir():
        return []
    pattern = f"{credential_id or '*'}.*"
    found = []
    for path in settings.SPOOL_DIR.glob(pattern):
        if path.suffix == UNFINISHED:
            continue
        try:
            found.append(_read(path))
        except FileNotFoundError:  # its holder has just written it into the database
            continue
        except (crypto.CannotOpen, ValueError, OSError) as error:
            log.error("an answer in the spool cannot be read: %s", type(error).__name__)
    return sorted(found, key=lambda answer: answer.requested_at)


def seal_anew() -> int:
    """Seal what another key has sealed with the first of the ring; how many answers that were.

    One that is written to the database meanwhile comes back so, and is dropped by whoever finds that its
    version is the current one no longer.
    """
    done = 0
    for answer in kept():
        with suppress(FileNotFoundError):
            if not answer.path.read_bytes()[16:].startswith(crypto.head()):
                keep(answer)
                done += 1
    return done


@daily
def forget_unfinished() -> None:
    """Remove what a process that was killed while it wrote has left: nobody can use half an answer."""
    for path in settings.SPOOL_DIR.glob(f"*{UNFINISHED}"):
        # One that is being written may have got its name meanwhile.
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > KEPT_UNFINISHED.total_seconds():
                path.unlink()


def _read(path: Path) -> Answer:
    content = path.read_bytes()
    credential_id, _, lease = path.name.partition(".")
    partner_id = UUID(bytes=content[:16])
    said = crypto.unseal(content[16:], _context(str(partner_id), credential_id))
    # One that was written before a release knew of it does not say.
    installation = said.get("installation")
    return Answer(
        credential_id=UUID(credential_id),
        partner_id=partner_id,
        version_id=UUID(said["version"]),
        lease=UUID(lease),
        status=said["status"],
        body=base64.b64decode(said["body"]),
        requested_at=datetime.fromisoformat(said["requested_at"]),
        installation_id=UUID(installation) if installation else None,
    )
