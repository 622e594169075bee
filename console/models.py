"""Who there is: partners, the people of partners, their customers' accounts, and the record."""

import unicodedata
import uuid

from django.conf import settings
from django.contrib.auth.base_user import BaseUserManager
from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.utils.crypto import salted_hmac

from console import crypto
from console.return_urls import check_return_urls
from console.sealed import SealedField
from console.tenancy import PartnerOwned, Principal, TenantQuerySet

HOSTNAME = RegexValidator(
    r"\A(?=.{1,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}\Z",
    "Enter a domain such as example.com: no https://, no path.",
)


def plain_text(value: str) -> None:
    """Refuse what is not seen, or turns what is seen around: a name must be the name that people read."""
    if any(unicodedata.category(char) in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp") for char in value):
        raise ValidationError(
            "Only letters, digits, punctuation and spaces: no line breaks, nothing invisible."
        )


class UserManager(BaseUserManager):
    def create_user(self, email: str, password: str | None = None, **fields) -> "User":
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields) -> "User":
        return self.create_user(email, password, **{**fields, "is_staff": True, "is_superuser": True})

    def get_by_natural_key(self, email: str) -> "User":
        return self.get(email=email.lower())


class User(AbstractUser):
    """Signs in with an e-mail address, always stored in lower case."""

    username = None
    email = models.EmailField("e-mail address", unique=True)
    # Part of every session's hash: one more ends all sessions of this user.
    session_epoch = models.PositiveIntegerField(default=0, editable=False)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = []
    objects = UserManager()

    def partner(self) -> "Partner | None":
        membership = Membership.objects.select_related("partner").filter(user=self).first()
        return membership.partner if membership else None

    def end_sessions(self) -> None:
        User.objects.filter(pk=self.pk).update(session_epoch=models.F("session_epoch") + 1)

    def _get_session_auth_hash(self, secret=None):
        return salted_hmac(
            "console.User.session", f"{self.password}|{self.session_epoch}", secret=secret, algorithm="sha256"
        ).hexdigest()

    def clean(self):
        super().clean()
        self.email = self.email.lower()


class Partner(models.Model):
    """A software company that offers its customers connections to other applications."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=100, validators=[plain_text])
    domain = models.CharField(
        max_length=253,
        validators=[HOSTNAME],
        help_text="Customers see it beside the name, so that they know who asks.",
    )
    return_urls = models.JSONField(
        default=list,
        blank=True,
        validators=[check_return_urls],
        help_text="Exact https addresses that a finished setup may lead back to.",
    )
    is_active = models.BooleanField(default=True, help_text="Off: nobody signs in and no link works.")
    tells_customers = models.BooleanField(
        "mail customers",
        default=False,
        help_text="A customer whose connection needs attention gets an e-mail with a link that mends it.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name

    def clean(self):
        # What is empty meets no validator, and JSON has several ways to be empty.
        if not isinstance(self.return_urls, list):
            raise ValidationError({"return_urls": "A list; without any address it is []."})


class Membership(models.Model):
    """Whom a user works for; one partner each."""

    user = models.OneToOneField(User, models.CASCADE)
    partner = models.ForeignKey(Partner, models.CASCADE)
    wants_digest = models.BooleanField(
        "E-mail me when connections need attention",
        default=True,
        help_text="At most one message an hour, and only when there is something new.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.user} at {self.partner}"


class Account(PartnerOwned):
    """A customer of a partner."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=100)
    external_id = models.CharField(
        "external ID",
        max_length=100,
        blank=True,
        help_text="This customer's id in your own software. Optional.",
    )
    email = models.EmailField(
        "contact e-mail",
        blank=True,
        help_text="Optional. Where this customer is told that a connection needs attention.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    EXTERNAL_ID_TAKEN = "Another account has this external ID already."

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["partner", "external_id"],
                condition=~models.Q(external_id=""),
                name="one_account_per_external_id",
            )
        ]
        indexes = [models.Index(fields=["partner", "name", "id"], name="account_by_name")]

    def __str__(self) -> str:
        return self.name

    def clean(self):
        """Said here because the form leaves `partner` out, and with it the constraint's own check."""
        same = Account.objects.filter(partner_id=self.partner_id, external_id=self.external_id)
        if self.external_id and same.exclude(pk=self.pk).exists():
            raise ValidationError({"external_id": self.EXTERNAL_ID_TAKEN})


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


class KeyCanary(models.Model):
    """A known value, sealed when the database was made: it opens only with the right key ring."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    value = SealedField()

    # What a sealed value is bound to besides its row; the canary belongs to nobody.
    partner_id = ""

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
