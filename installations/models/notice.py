"""What was told to whom by e-mail."""

import uuid

from django.db import models

from console.tenancy import PartnerOwned


class Notice(PartnerOwned):
    """One e-mail that the console sent, or tried to, by itself. A link that it held is not kept."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=50)
    to = models.JSONField(default=list)
    subject = models.CharField(max_length=200)
    text = models.TextField()
    # The installation it is about, for those to customers.
    installation_id = models.UUIDField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True)
    # Why it was not sent, in plain words.
    failure = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["partner", "-created_at"], name="notice_by_age"),
            models.Index(fields=["installation_id", "-sent_at"], name="notice_by_installation"),
        ]

    def __str__(self) -> str:
        return self.subject


class DigestItem(PartnerOwned):
    """Something that the partner's people are told once, in their next digest.

    One that got better and worse again is another row in its place.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # "attention:<installation>", "alert:<alert>", "grant:<installation>:<day>:<days ahead>",
    # "secret:<connector>:<day>:<days ahead>" or "webhook:<endpoint>".
    about = models.CharField(max_length=150)
    noted_at = models.DateTimeField(auto_now_add=True)
    told_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["partner", "about"], name="one_item_about_each")]
        indexes = [
            models.Index(fields=["partner"], name="item_to_be_told", condition=models.Q(told_at=None)),
            models.Index(fields=["told_at"], name="item_by_age"),
        ]

    def __str__(self) -> str:
        return self.about
