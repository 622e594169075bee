"""The record."""

import uuid

from django.db import models

from console.tenancy import PartnerOwned, Principal, TenantQuerySet


class EventQuerySet(TenantQuerySet):
    def record(
        self, kind: str, principal: Principal, text: str, *, subject=None, reference: str = "", **details
    ) -> "Event":
        """Note what somebody did. `details` are JSON-able facts and never a secret."""
        return self.create(
            partner_id=principal.partner_id,
            kind=kind,
            actor=principal.actor,
            text=text,
            subject_id=getattr(subject, "pk", subject),
            reference=reference,
            details=details,
        )


class Event(PartnerOwned):
    """The record: one line for each thing that was done or refused. Only ever added to."""

    # A customer's page shows what happened to the installation it belongs to.
    installation_path = "subject_id"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    at = models.DateTimeField(auto_now_add=True)
    kind = models.CharField(max_length=50)
    actor = models.CharField(max_length=254)
    text = models.CharField(max_length=300)
    subject_id = models.UUIDField(null=True)
    reference = models.CharField(max_length=16, blank=True)
    details = models.JSONField(default=dict)

    objects = EventQuerySet.as_manager()

    class Meta:
        ordering = ["-at"]
        indexes = [
            models.Index(fields=["partner", "subject_id", "-at"], name="event_by_subject"),
            models.Index(fields=["partner", "-at"], name="event_by_age"),
            models.Index(fields=["reference"], name="event_by_reference"),
        ]

    def __str__(self) -> str:
        return self.text
