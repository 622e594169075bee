"""Whether the keys of this process fit this database."""

import uuid

from django.conf import settings
from django.db import models

from console import crypto
from console.sealed import SealedField


class KeyCanary(models.Model):
    """A known value, sealed when the database was made: it opens only with the right key ring."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    value = SealedField()

    # What a sealed value is bound to besides its row; the canary belongs to nobody.
    partner_id = ""

    class Meta:
        verbose_name_plural = "key canaries"

    def __str__(self) -> str:
        return "key canary"

    @classmethod
    def plant(cls) -> None:
        """One for the key that seals, so that a start with another key under its id is noticed."""
        first = next(iter(settings.ENCRYPTION_KEYS))
        if first not in {crypto.key_id_of(row.__dict__["value"]) for row in cls.objects.all()}:
            cls.objects.create(value="partner-console")

    @classmethod
    def unreadable(cls) -> str:
        """Why this process's keys do not fit this database; "" if they do."""
        for canary in cls.objects.all():
            try:
                canary.value  # noqa: B018 - opens it
            except crypto.CannotOpen as error:
                return str(error)
        return ""
