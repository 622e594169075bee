"""What providers send by themselves: the address of an installation, and what came there."""

import base64
import hmac
import json
import secrets
import uuid

from django.conf import settings
from django.db import models, transaction
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import cached_property

from console import crypto
from console.sealed import SealedField
from console.tenancy import PartnerOwned
from installations.models.installation import Installation

# Why a request was not proven, as the partner's people read it.
WHY = {
    "secret_missing": "the secret is not entered yet",
    "handshake_again": "it brought another secret than the first one: make a new address for another webhook",
    "signature_missing": "it was not signed",
    "signature_wrong": "its signature is not made with the secret that is stored here",
    "timestamp_missing": "it does not say when it was signed",
    "timestamp_old": "it was signed too long ago, or a clock is wrong",
}


# Characters of a body that a page shows.
SHOWN = 100_000
_JSON = json.JSONEncoder(indent=2, ensure_ascii=False)


class HookAddress(PartnerOwned):
    """Where a provider sends an installation's webhooks.

    The token has 256 random bits, stands in the address alone, and is kept here as its SHA-256.
    """

    account_path = "installation__account_id"
    tryout_path = "installation__is_tryout"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    installation = models.OneToOneField(Installation, models.CASCADE)
    token_digest = models.CharField(max_length=64, unique=True, editable=False)
    # What the provider signs with; none until it is entered, or brought by the provider itself.
    secret = SealedField(null=True)
    created_by = models.CharField(max_length=254)
    created_at = models.DateTimeField()
    # Nothing is expected there any more: the installation was disconnected.
    ended_at = models.DateTimeField(null=True)
    # Requests that were not proven, and why the last one was not: a code of signatures.Refused.
    refused = models.PositiveIntegerField(default=0)
    refused_at = models.DateTimeField(null=True)
    refused_code = models.CharField(max_length=50, blank=True)

    class Meta:
        verbose_name_plural = "hook addresses"

    def __str__(self) -> str:
        return f"address of {self.installation_id}"

    @classmethod
    def issue(cls, installation: Installation, *, by: str, secret: str | None) -> str:
        """The installation's only address, which is known only now; the one before ends."""
        token = secrets.token_urlsafe(32)
        now = {"token_digest": crypto.digest(token), "secret": secret, "created_by": by}
        now |= {"created_at": timezone.now(), "ended_at": None}
        now |= {"refused": 0, "refused_at": None, "refused_code": ""}
        cls.objects.update_or_create(
            installation=installation, defaults={"partner_id": installation.partner_id, **now}
        )
        return settings.BASE_URL + reverse("hook", args=[token])

    @property
    def has_secret(self) -> bool:
        """Without opening it."""
        return type(self)._meta.get_field("secret").stored(self) is not None

    @property
    def why_refused(self) -> str:
        return WHY.get(self.refused_code, "")

    def set_secret(self, secret: str) -> None:
        self.secret = secret
        self.save(update_fields=["secret"])

    def agree_on(self, secret: str) -> bool:
        """Take the secret that the provider brings, where there is none; False where there is another one."""
        with transaction.atomic():
            row = HookAddress.objects.select_for_update().get(pk=self.pk)
            if not row.has_secret:
                row.set_secret(secret)
            return hmac.compare_digest(row.secret.encode(), secret.encode())

    def refuse(self, code: str) -> None:
        """Nothing is kept of what is not proven, but that it came."""
        rows = HookAddress.objects.filter(pk=self.pk)
        rows.update(refused=models.F("refused") + 1, refused_at=timezone.now(), refused_code=code)


class ReceivedWebhook(PartnerOwned):
    """A request that was proven to come from the provider. Each event is here once."""

    account_path = "installation__account_id"
    tryout_path = "installation__is_tryout"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    installation = models.ForeignKey(Installation, models.CASCADE)
    received_at = models.DateTimeField()
    event_type = models.CharField(max_length=200, blank=True)
    # The provider's own, cut to fit; "" where it has none.
    delivery_id = models.CharField(max_length=200, blank=True)
    # SHA-256 of the provider's id for the delivery, or else of what was signed.
    delivery_digest = models.CharField(max_length=64, editable=False)
    content_type = models.CharField(max_length=200, blank=True)
    # Bytes.
    size = models.PositiveIntegerField()
    # {"text": …} of UTF-8, {"base64": …} of anything else.
    body = SealedField()
    # The message that told the partner's endpoints last; "" where no endpoint wanted it.
    message_id = models.CharField(max_length=40, blank=True)
    forwarded_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-received_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["installation", "delivery_digest"], name="one_of_each_delivery")
        ]
        indexes = [
            models.Index(fields=["installation", "-received_at", "-id"], name="received_by_age"),
            # For throwing away what is old.
            models.Index(fields=["received_at"], name="received_to_forget"),
        ]

    def __str__(self) -> str:
        return f"{self.event_type or 'webhook'} of {self.received_at:%Y-%m-%d %H:%M:%S}"

    @classmethod
    def keep(cls, row: "ReceivedWebhook") -> bool:
        """Store it; False where it is here already, however many come at once."""
        cls.objects.bulk_create([row], ignore_conflicts=True)
        return cls.objects.filter(pk=row.pk).exists()

    @staticmethod
    def sealed_form(body: bytes) -> dict[str, str]:
        try:
            return {"text": body.decode()}
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(body).decode()}

    @property
    def content(self) -> bytes:
        kept = self.body
        return kept["text"].encode() if "text" in kept else base64.b64decode(kept["base64"])

    @property
    def written(self) -> tuple[str, str]:
        """The body for programs: as it came in UTF-8, or in base64; and which of the two."""
        kept = self.body
        return (kept["text"], "utf-8") if "text" in kept else (kept["base64"], "base64")

    @cached_property
    def shown(self) -> str:
        """The body for people: JSON with line breaks, text as it is, anything else as base64.

        Little more than SHOWN of it: lines of deep JSON begin with very many spaces.
        """
        kept = self.body
        if "text" not in kept:
            return kept["base64"]
        found, size = [], 0
        try:
            for piece in _JSON.iterencode(json.loads(kept["text"])):
                found.append(piece)
                size += len(piece)
                if size > SHOWN:
                    break
        except (ValueError, RecursionError):
            return kept["text"]
        # Half a character, which JSON can write, goes into no page.
        return "".join(found).encode("utf-8", "replace").decode()

    def forwarded(self, message_id: str) -> None:
        self.message_id, self.forwarded_at = message_id, timezone.now()
        ReceivedWebhook.objects.filter(pk=self.pk).update(
            message_id=self.message_id, forwarded_at=self.forwarded_at
        )
