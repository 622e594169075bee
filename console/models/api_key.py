"""Who may call the API."""

import hmac
import ipaddress
import secrets
import uuid
import zlib
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils import timezone

from console import crypto
from console.models.people import Account, plain_text
from console.sealed import SealedField
from console.tenancy import PartnerOwned, Principal

SCOPES = {
    "read": "Read connectors, accounts, installations and the record",
    "write": "Create and change them",
    "credentials": "Fetch the credentials of installations, and import them",
    "proxy": "Call providers through the console",
}
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PREFIX, _SECRET, _CHECK = 12, 43, 6


def _letters(count: int) -> str:
    return "".join(secrets.choice(_BASE62) for _ in range(count))


def _check(text: str) -> str:
    """CRC-32 of the text in six letters: what was mistyped is told without a look-up."""
    rest, letters = zlib.crc32(text.encode()), ""
    for _ in range(_CHECK):
        rest, place = divmod(rest, 62)
        letters = _BASE62[place] + letters
    return letters


def prefix_of(text: str) -> str:
    """The prefix of a key in its written form; "" where it has none."""
    head, check = text[:-_CHECK], text[-_CHECK:]
    parts = head.split("_")
    if len(parts) != 4 or parts[0] != "pc" or len(parts[2]) != _PREFIX or len(parts[3]) != _SECRET:
        return ""
    return parts[2] if text.isascii() and _check(head) == check else ""


def check_networks(networks: Any) -> None:
    """Refuse what is no list of networks (RFC 4632): ["203.0.113.0/24", "2001:db8::/32"]."""
    if not isinstance(networks, list) or len(networks) > 50:
        raise ValidationError("A list of at most 50 networks.")
    for network in networks:
        try:
            ipaddress.ip_network(network)
        except (ValueError, TypeError):
            raise ValidationError(
                f"“{str(network)[:50]}” is no address or network such as 203.0.113.7 or 203.0.113.0/24."
            ) from None


class ApiKey(PartnerOwned):
    """A key of the partner's own software.

    Written pc_live_<prefix>_<secret><check>: the prefix finds the row, the secret has 256 random bits and
    is kept as its SHA-256. A live key acts on what customers have installed, a test key on try-outs alone.
    """

    class Environment(models.TextChoices):
        LIVE = "live", "Live"
        TEST = "test", "Test"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(
        max_length=100, validators=[plain_text], help_text="What it is for, such as “Nightly import”."
    )
    environment = models.CharField(max_length=4, choices=Environment.choices, default=Environment.LIVE)
    prefix = models.CharField(max_length=_PREFIX, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    # The secret before this one, which still counts until then.
    previous_digest = models.CharField(max_length=64, blank=True, editable=False)
    previous_until = models.DateTimeField(null=True, editable=False)
    scopes = models.JSONField(default=list)
    # From where it may be used; empty: from anywhere.
    networks = models.JSONField(default=list, blank=True, validators=[check_networks])
    # The only customer that it reaches; empty: all.
    account = models.ForeignKey(Account, models.CASCADE, null=True, blank=True)
    # So that a stolen key does not empty the house.
    credentials_per_minute = models.PositiveIntegerField(
        "different credentials a minute",
        null=True,
        blank=True,
        default=50,
        db_default=50,
        help_text="Of how many different installations it may fetch the credentials in one minute. More is "
        "refused, and your people get an e-mail at once. Empty: no limit. Calls through the proxy do not "
        "count: they show no credential.",
    )
    created_by = models.CharField(max_length=254)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, editable=False)
    # To the minute.
    last_used_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = "API key"
        verbose_name_plural = "API keys"
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["partner", "-created_at"], name="api_key_by_age")]

    def __str__(self) -> str:
        return self.name

    @property
    def beginning(self) -> str:
        """What people tell it by: the part that is no secret."""
        return f"pc_{self.environment}_{self.prefix}"

    @property
    def state(self) -> str:
        """active, expired or revoked."""
        if self.revoked_at:
            return "revoked"
        return "expired" if self.expires_at and self.expires_at <= timezone.now() else "active"

    @property
    def overlaps_until(self) -> datetime | None:
        """Until when the secret before this one counts, where it still does."""
        return self.previous_until if self.previous_until and self.previous_until > timezone.now() else None

    def issue(self) -> str:
        """Give it a secret and return the written key, which nobody knows afterwards. Saves nothing."""
        self.prefix = self.prefix or _letters(_PREFIX)
        head = f"{self.beginning}_{_letters(_SECRET)}"
        written = head + _check(head)
        self.digest = crypto.digest(written)
        return written

    def is_written(self, text: str, now: datetime) -> bool:
        """Whether this is its text, the present one or one that still counts."""
        digest = crypto.digest(text)
        counts = self.previous_until is not None and self.previous_until > now
        return hmac.compare_digest(digest, self.digest) | (
            counts and hmac.compare_digest(digest, self.previous_digest)
        )

    def rotate(self, overlap: timedelta) -> str:
        """A new secret in place of this one, which counts on for `overlap`. Returns the written key."""
        before, counted = self.digest, self.state == "active"
        written = self.issue()
        now = timezone.now()
        rows = ApiKey.objects.filter(pk=self.pk, digest=before, revoked_at=None)
        changed = rows.update(
            digest=self.digest,
            previous_digest=before if overlap and counted else "",
            previous_until=now + overlap if overlap and counted else None,
        )
        return written if changed else ""

    def revoke(self) -> bool:
        """From this moment on it opens nothing; False where that was so already."""
        rows = ApiKey.objects.filter(pk=self.pk, revoked_at=None)
        return bool(rows.update(revoked_at=timezone.now(), previous_digest="", previous_until=None))

    def may(self, scope: str) -> bool:
        return scope in self.scopes

    def is_let_in_from(self, address: str) -> bool:
        return not self.networks or is_within(address, self.networks)

    def principal(self) -> Principal:
        return Principal(
            partner_id=self.partner_id,
            actor=f"API key {self.name}",
            api_key_id=self.pk,
            account_id=self.account_id,
            is_test=self.environment == self.Environment.TEST,
        )

    def used(self, now: datetime) -> None:
        """Note when it was used last, at most once a minute: most calls write nothing."""
        minute = now - timedelta(minutes=1)
        if self.last_used_at is None or self.last_used_at < minute:
            rows = ApiKey.objects.filter(Q(last_used_at=None) | Q(last_used_at__lt=minute), pk=self.pk)
            rows.update(last_used_at=now)


def is_within(address: str, networks: Collection[str]) -> bool:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return any(ip in ipaddress.ip_network(network) for network in networks)


class ApiCall(PartnerOwned):
    """A call that its caller may repeat under the same Idempotency-Key, and what was answered.

    draft-ietf-httpapi-idempotency-key-header. The answer may hold what is shown once, so it is sealed.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    api_key = models.ForeignKey(ApiKey, models.CASCADE)
    # SHA-256 of the caller's own key, and of method, address and body.
    key_digest = models.CharField(max_length=64)
    request_digest = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)
    # Until then another one waits for this one's answer.
    held_until = models.DateTimeField()
    # {"status": 201, "headers": {…}, "body": "…"}; empty while it is under way.
    answer = SealedField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["api_key", "key_digest"], name="one_call_per_key")]
        indexes = [models.Index(fields=["created_at"], name="api_call_by_age")]

    def __str__(self) -> str:
        return f"call of {self.created_at:%Y-%m-%d %H:%M}"
