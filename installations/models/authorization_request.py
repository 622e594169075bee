"""One request for consent, between our redirect and the answer to it."""

import uuid

from django.conf import settings
from django.db import models

from console.clock import Now
from console.sealed import SealedField
from console.tenancy import PartnerOwned
from installations.models.installation import Installation
from installations.models.setup import Setup, SetupLink


class AuthorizationRequest(PartnerOwned):
    """One request for consent (RFC 6749, section 4.1.1; RFC 5849, section 2.2), until it is answered."""

    installation_path = "installation_id"
    account_path = "installation__account_id"
    tryout_path = "installation__is_tryout"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    installation = models.ForeignKey(Installation, models.CASCADE)
    setup = models.ForeignKey(Setup, models.CASCADE)
    setup_link = models.ForeignKey(SetupLink, models.CASCADE, null=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True)
    auth_method = models.CharField(max_length=50, default="authorization_code")
    # The client registration whose redirect URI was sent.
    registration_id = models.UUIDField()
    state_digest = models.CharField(max_length=64, unique=True, editable=False)
    browser_digest = models.CharField(max_length=64, editable=False)
    # {"code_verifier": "…"} (RFC 7636, section 7.1), or the temporary credentials (RFC 5849, section 2.1);
    # emptied when the answer arrives, or at the next request once it is too late.
    verifier = SealedField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    consumed_at = models.DateTimeField(null=True)
    # "connected", or a code of console.problems.
    outcome = models.CharField(max_length=50, blank=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["expires_at"], name="request_by_expiry", condition=models.Q(verifier__isnull=False)
            )
        ]

    def __str__(self) -> str:
        return f"request of {self.created_at:%Y-%m-%d %H:%M}"

    def consume(self) -> bool:
        """Take the right to exchange the code. Of any number of takers exactly one gets True."""
        taken = AuthorizationRequest.objects.filter(pk=self.pk, consumed_at=None, expires_at__gt=Now())
        return bool(taken.update(consumed_at=Now()))

    def close(self, outcome: str) -> None:
        AuthorizationRequest.objects.filter(pk=self.pk).update(outcome=outcome, verifier=None)

    @classmethod
    def forget_expired(cls) -> int:
        """Empty the verifiers of requests that were never answered."""
        late = cls.objects.filter(expires_at__lte=Now(), verifier__isnull=False)
        return late.update(verifier=None)
