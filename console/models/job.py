"""Work in the background, and what holds it up."""

import uuid

from django.db import models

from console.models.people import Partner


class Job(models.Model):
    """Work to be done in the background. The row is the job; a queue's message only wakes a worker.

    Whoever claims it puts its own id into `lease` and moves `due_at` to where the lease ends, so that the
    job of a worker that was killed falls due again by itself. All times are the database's.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # Empty for the product's own housekeeping.
    partner = models.ForeignKey(Partner, models.CASCADE, null=True)
    kind = models.CharField(max_length=50)
    # What it is about: an installation, a revocation. One job of a kind for each.
    subject_id = models.UUIDField()
    due_at = models.DateTimeField()
    lease = models.UUIDField(default=uuid.uuid4, editable=False)
    # Set while a worker has it.
    started_at = models.DateTimeField(null=True)
    # Asked for again while it was being done.
    wanted_at = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0)
    # A code or the name of an exception; never a message, which may hold anything.
    last_error = models.CharField(max_length=100, blank=True)
    # Given up; staff may try it again.
    failed_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["due_at"]
        constraints = [models.UniqueConstraint(fields=["kind", "subject_id"], name="one_job_per_subject")]
        indexes = [
            models.Index(fields=["due_at"], name="job_by_due", condition=models.Q(failed_at=None)),
            models.Index(
                fields=["failed_at"], name="job_given_up", condition=models.Q(failed_at__isnull=False)
            ),
            models.Index(
                fields=["started_at"], name="job_under_way", condition=models.Q(started_at__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject_id}"


class Pause(models.Model):
    """While there is a row, no background work is done and no token renewed.

    A restored copy begins so: two systems that renew the same grants would end them for both.
    """

    reason = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.reason

    @classmethod
    def now(cls) -> "Pause | None":
        return cls.objects.order_by("created_at").first()
