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
        indexes = [models.Index(fields=["partner", "-created_at"], name="notice_by_age")]

    def __str__(self) -> str:
        return self.subject
