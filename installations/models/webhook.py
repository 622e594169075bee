"""What the partner's own software is told, where, and what came of each try."""

import secrets
import uuid
from datetime import datetime

from django.db import models
from django.utils import timezone

from console.models import plain_text
from console.sealed import SealedField
from console.tenancy import PartnerOwned


def new_message_id() -> str:
    return f"msg_{secrets.token_hex(16)}"


class WebhookEndpoint(PartnerOwned):
    """An address of the partner's to which messages go."""

    # Try-outs are told nobody.
    is_live = True

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    url = models.CharField("URL", max_length=500)
    description = models.CharField(
        max_length=100, blank=True, validators=[plain_text], help_text="Optional. Only your company sees it."
    )
    # Names of webhooks.types.TYPES; empty: all of them, those to come as well.
    types = models.JSONField(default=list, blank=True)
    # whsec_ and base64 (Standard Webhooks).
    secret = SealedField()
    # The one before, which signs as well until `previous_until`.
    previous_secret = SealedField(null=True)
    previous_until = models.DateTimeField(null=True)
    disabled_at = models.DateTimeField(null=True)
    # A key of webhooks.types.REASONS.
    disabled_reason = models.CharField(max_length=50, blank=True)
    # Since then nothing but failures.
    failing_since = models.DateTimeField(null=True)
    # It asked for rest, or was slow: nothing is sent to it before.
    rests_until = models.DateTimeField(null=True)
    created_by = models.CharField(max_length=254)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["created_at"]

    def __str__(self) -> str:
        return self.description or self.url

    @property
    def is_active(self) -> bool:
        return self.disabled_at is None

    def wants(self, type: str) -> bool:
        return not self.types or type in self.types

    def signing_secrets(self, at: datetime) -> list[str]:
        """What signs at this time, the newest first. Raises crypto.CannotOpen."""
        overlap = self.previous_until and self.previous_until > at
        return [self.secret, self.previous_secret] if overlap and self.previous_secret else [self.secret]

    def disable(self, reason: str) -> bool:
        """Send nothing more there; False where it was disabled already."""
        rows = WebhookEndpoint.objects.filter(pk=self.pk, disabled_at=None)
        return bool(rows.update(disabled_at=timezone.now(), disabled_reason=reason))


class WebhookMessage(PartnerOwned):
    """Something that happened, written in the transaction in which it did (the outbox)."""

    # The webhook-id, the same at each try and each endpoint.
    id = models.CharField(primary_key=True, max_length=40, default=new_message_id, editable=False)
    type = models.CharField(max_length=50)
    # The body as it is signed and sent: {"type": …, "timestamp": …, "data": {…}}. Sealed, for what a provider
    # has sent of a customer goes along.
    payload = SealedField()
    occurred_at = models.DateTimeField()
    # Facts, no references: what they name may be gone.
    installation_id = models.UUIDField(null=True)
    account_id = models.UUIDField(null=True)

    class Meta:
        ordering = ["-occurred_at"]
        indexes = [models.Index(fields=["occurred_at"], name="webhook_message_by_age")]

    def __str__(self) -> str:
        return f"{self.type} {self.id}"


class DeliveryState(models.TextChoices):
    PENDING = "pending", "Waiting"
    DELIVERED = "delivered", "Delivered"
    FAILED = "failed", "Failed"


class WebhookDelivery(PartnerOwned):
    """One message on its way to one endpoint."""

    is_live = True

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    message = models.ForeignKey(WebhookMessage, models.CASCADE)
    endpoint = models.ForeignKey(WebhookEndpoint, models.CASCADE)
    state = models.CharField(max_length=20, choices=DeliveryState.choices, default=DeliveryState.PENDING)
    # Since it was last begun; `tries` holds those before as well.
    attempts = models.PositiveIntegerField(default=0)
    next_at = models.DateTimeField(null=True)
    # [{"at": ISO 8601, "ms": …, "status": 200 or null, "problem": "" or a kind, "excerpt": "…"}, …]
    tries = models.JSONField(default=list)
    # Of the last try: its status, or 0 where there was no answer.
    status = models.PositiveIntegerField(null=True)
    # When the message occurred.
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["-created_at", "-id"]
        verbose_name_plural = "webhook deliveries"
        constraints = [models.UniqueConstraint(fields=["message", "endpoint"], name="one_delivery_to_each")]
        indexes = [
            models.Index(
                fields=["endpoint", "next_at"],
                name="webhook_delivery_due",
                condition=models.Q(state="pending"),
            ),
            models.Index(fields=["endpoint", "-created_at", "-id"], name="webhook_delivery_by_age"),
            models.Index(
                fields=["endpoint", "state", "-created_at", "-id"], name="webhook_delivery_by_state"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.message_id} to {self.endpoint_id}"
