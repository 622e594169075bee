"""What an installation authenticates with."""

import uuid

from django.db import models

from console.sealed import SealedField
from console.tenancy import PartnerOwned
from installations.models.installation import Installation


class CredentialVersion(PartnerOwned):
    """One token as the provider gave it. Only ever added to, so that nothing overwrites a newer one."""

    installation_path = "installation_id"
    account_path = "installation__account_id"
    tryout_path = "installation__is_tryout"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    installation = models.ForeignKey(Installation, models.CASCADE)
    token = SealedField()
    granted_scopes = models.TextField(blank=True)
    expires_at = models.DateTimeField(null=True)
    # Of the client id that it was obtained with: a token belongs to its client (RFC 6749, section 10.4).
    client_digest = models.CharField(max_length=64, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"version of {self.created_at:%Y-%m-%d %H:%M}"


class Credential(PartnerOwned):
    """Which version of the token an installation uses now, and who is renewing it.

    A renewal is held under a lease: whoever has put its own id here, until `lease_until`. All times are
    the database's. A holder whose lease another one took over changes nothing any more.
    """

    installation_path = "installation_id"
    account_path = "installation__account_id"
    tryout_path = "installation__is_tryout"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    installation = models.OneToOneField(Installation, models.CASCADE)
    current = models.OneToOneField(CredentialVersion, models.CASCADE, related_name="current_of")
    lease = models.UUIDField(default=uuid.uuid4, editable=False)
    # Set while somebody renews; passed and still set: that one never came back.
    lease_until = models.DateTimeField(null=True)
    # What the last try to renew ended with, a code of console.problems; "" after one that succeeded.
    problem = models.CharField(max_length=50, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    # When the first of these tries was.
    failing_since = models.DateTimeField(null=True)
    # Not before this.
    retry_at = models.DateTimeField(null=True)
    # A renewal was sent and its answer never arrived; nobody may send the refresh token once more.
    unknown_since = models.DateTimeField(null=True)

    def try_anyway(self) -> bool:
        """Let it be renewed although nobody knows what became of the last time. False: that is known again.

        The provider may take a refresh token that it has seen before for a stolen one, and end the grant.
        """
        rows = Credential.objects.filter(pk=self.pk, current_id=self.current_id, unknown_since__isnull=False)
        return bool(rows.update(unknown_since=None, lease_until=None, lease=uuid.uuid4()))

    def hurry(self) -> bool:
        """Let it be renewed although it is backing off; of any number of callers exactly one gets True."""
        rows = Credential.objects.filter(pk=self.pk, retry_at__isnull=False, retry_at=self.retry_at)
        return bool(rows.update(retry_at=None))

    def __str__(self) -> str:
        return f"credential of {self.installation_id}"

    def save(self, *args, **kwargs):
        """Only a new one: a stale instance would put an old token in place of a new one."""
        if not self._state.adding:
            raise TypeError("A credential changes by conditional UPDATE alone.")
        super().save(*args, **kwargs)
