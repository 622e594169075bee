"""What is wrong for a whole connector of a partner, rather than for one installation."""

import uuid

from django.db import models

from console.tenancy import PartnerOwned


class Alert(PartnerOwned):
    """Something that only the partner can mend. One open alert for each cause, however many feel it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    connector = models.CharField(max_length=100)
    # A code of console.problems.
    code = models.CharField(max_length=50)
    # The provider's own words, shortened, without secrets.
    words = models.CharField(max_length=300, blank=True)
    times = models.PositiveIntegerField(default=1)
    opened_at = models.DateTimeField(auto_now_add=True)
    last_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-opened_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["partner", "connector", "code"],
                condition=models.Q(closed_at=None),
                name="one_open_alert_for_each_cause",
            )
        ]

    def __str__(self) -> str:
        return f"{self.code} of {self.connector}"


class Circuit(PartnerOwned):
    """How a provider's token endpoint fares for one partner. There is a row only where it has failed.

    Open (`open_until` is set) it lets nobody through but one probe at a time, once that time has come.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    connector = models.CharField(max_length=100)
    # In the window that began at `since`.
    failures = models.PositiveIntegerField(default=0)
    since = models.DateTimeField()
    open_until = models.DateTimeField(null=True)
    # Why, a code of console.problems.
    problem = models.CharField(max_length=50, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["partner", "connector"], name="one_circuit_per_connector")
        ]

    def __str__(self) -> str:
        return f"circuit of {self.connector}"
