"""One walk through the wizard, and a customer's right to it."""

import secrets
import uuid
from datetime import timedelta

from django.conf import settings
from django.db import models, transaction
from django.urls import reverse
from django.utils import timezone

from connectors import releases
from connectors.models import StoredValues
from connectors.registry import Connector
from console import crypto, jobs
from console.sealed import SealedField
from console.tenancy import PartnerOwned
from installations.models.installation import Installation


class Setup(PartnerOwned, StoredValues):
    """One walk through the wizard: what has been chosen and entered, but not verified yet."""

    installation_path = "installation_id"
    account_path = "installation__account_id"
    tryout_path = "installation__is_tryout"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    installation = models.ForeignKey(Installation, models.CASCADE)
    # Whose walk it is: a link's, or that of the partner's people. What one has entered is not the other's.
    setup_link = models.ForeignKey("SetupLink", models.CASCADE, null=True)
    reviewed_at = models.DateTimeField(null=True)
    auth_method = models.CharField(max_length=50, blank=True)
    # Given by the provider, not verified yet; a host look-up that failed leaves it here.
    token = SealedField(null=True)
    # The release that is set up: today's, whatever the installation had.
    release = models.ForeignKey("connectors.Release", models.PROTECT, null=True, editable=False)
    # What the answer about consent and the token response said besides: {"realm_id": "…"}
    found = models.JSONField(default=dict)
    address_needed = models.BooleanField(default=False)
    switch_account = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["installation"], condition=models.Q(finished_at=None), name="one_open_setup"
            )
        ]

    def __str__(self) -> str:
        return f"setup of {self.installation_id}"

    @property
    def definition(self) -> Connector | None:
        return releases.find(self.installation.connector, self.release_id or self.installation.release_id)


class SetupLink(PartnerOwned):
    """A customer's right to set up one installation, without a login.

    It is used up by a completed connection, not by opening it or by starting: mail scanners do both.
    The token has 256 random bits, stands in the link alone, and is kept here as its SHA-256.
    """

    installation_path = "installation_id"
    account_path = "installation__account_id"
    tryout_path = "installation__is_tryout"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    installation = models.ForeignKey(Installation, models.CASCADE)
    token_digest = models.CharField(max_length=64, unique=True, editable=False)
    email = models.EmailField("e-mail address", blank=True, help_text="Optional: we send the link there.")
    return_url = models.CharField(max_length=500, blank=True)
    created_by = models.CharField(max_length=254)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    completed_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"link of {self.created_at:%Y-%m-%d %H:%M}"

    @classmethod
    def issue(
        cls,
        installation: Installation,
        *,
        by: str,
        email: str = "",
        return_url: str = "",
        id: uuid.UUID | None = None,
    ) -> tuple["SetupLink", str]:
        """A new link and its address, which is known only now. Raises IntegrityError on a taken id."""
        token = secrets.token_urlsafe(32)
        with transaction.atomic():
            link = cls.objects.create(
                id=id or uuid.uuid4(),
                partner_id=installation.partner_id,
                installation=installation,
                token_digest=crypto.digest(token),
                email=email,
                return_url=return_url,
                created_by=by,
                expires_at=timezone.now() + timedelta(days=settings.SETUP_LINK_DAYS),
            )
            jobs.schedule("expire_link", link.pk, link.partner_id, link.expires_at)
        return link, settings.BASE_URL + reverse("setup-link", args=[token])

    @property
    def state(self) -> str:
        """revoked, completed, expired, started or sent."""
        if self.completed_at:
            return "completed"
        if self.revoked_at:
            return "revoked"
        if self.expires_at <= timezone.now():
            return "expired"
        return "started" if self.started_at else "sent"

    @property
    def is_live(self) -> bool:
        return self.state in ("sent", "started")

    def start(self) -> bool:
        """False where it was begun before."""
        return bool(SetupLink.objects.filter(pk=self.pk, started_at=None).update(started_at=timezone.now()))

    def revoke(self) -> bool:
        """False where it was used or revoked before."""
        rows = SetupLink.objects.filter(pk=self.pk, revoked_at=None, completed_at=None)
        revoked = bool(rows.update(revoked_at=timezone.now()))
        if revoked:
            Installation(pk=self.installation_id).stop_waiting()
        return revoked
