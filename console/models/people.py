"""Who there is: partners, the people of partners, and their customers' accounts."""

import unicodedata
import uuid

from django.contrib.auth.base_user import BaseUserManager
from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.utils.crypto import salted_hmac

from console.return_urls import check_return_urls
from console.tenancy import PartnerOwned

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

    account_path = "id"

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
