"""Who renews a credential: whoever holds its lease, and nobody else writes what came of it."""

import logging
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import DateTimeField, F
from django.db.models.functions import Coalesce

from connectors.manifest import AuthMethod, Manifest
from console.clock import Now
from installations import attention, spool
from installations.models import Credential

log = logging.getLogger("installations.renewing")

# Three times as long as any request may take.
LEASE = timedelta(seconds=60)
# To send a refresh token of such a provider once more would end the whole grant.
REVOKES = "single_use_revokes_family"


class Superseded(Exception):
    """Another one has renewed it, or taken the lease over: what this one knows is not written."""


@dataclass(frozen=True)
class Held:
    """A credential under our lease."""

    row: Credential
    method: AuthMethod
    lease: UUID
    # An earlier holder never came back: it may have spent the refresh token.
    lost: bool

    @property
    def mine(self):
        """The row, as long as nobody else has renewed it or taken it over."""
        return Credential.objects.filter(pk=self.row.pk, lease=self.lease, current_id=self.row.current_id)

    @property
    def manifest(self) -> Manifest:
        return self.row.installation.definition.manifest

    @property
    def is_bound(self) -> bool:
        """Whether its token is of use to the client alone that it was given to, and we know which."""
        return self.method.is_interactive and bool(self.row.current.client_digest)

    def put_off(self, code: str, after: timedelta) -> None:
        """Let it go, not to be tried again before that. `code` is one of console.problems."""
        self.mine.update(lease_until=None, retry_at=Now() + after, **failed(code))


def failed(code: str) -> dict:
    """What one more failure changes in the row of a credential."""
    since = Coalesce(F("failing_since"), Now(), output_field=DateTimeField())
    return {"attempts": F("attempts") + 1, "problem": code, "failing_since": since}


def take(row: Credential, method: AuthMethod) -> Held | None:
    """The lease, by one conditional UPDATE; None where another one has it."""
    lease = uuid4()
    same = Credential.objects.filter(pk=row.pk, current_id=row.current_id)
    mine = {"lease": lease, "lease_until": Now() + LEASE}
    if same.filter(lease_until=None).update(**mine):
        return Held(row, method, lease, lost=False)
    abandoned = same.filter(lease_until__lte=Now())
    if getattr(method, "rotation", "none") == REVOKES and not spool.kept(row.pk):
        # The lease stays with whoever has it: should that one come back, what it brings is the truth.
        # Together: what is unknown waits for a person, who must have been told.
        with transaction.atomic():
            if abandoned.filter(unknown_since=None).update(unknown_since=Now()):
                note_unknown(row)
        return None
    return Held(row, method, lease, lost=True) if abandoned.update(**mine) else None


def note_unknown(row: Credential) -> None:
    """Told at once, though the token may live on for a while: only a person can decide what is next."""
    log.warning("renewal without an answer: credential=%s", row.pk)
    attention.need(row.installation, row.current, "renewal_unknown")
