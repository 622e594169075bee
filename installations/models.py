"""What has been installed, the credential it holds, and how it came to it.

A row's state changes only through the methods here, each one conditional UPDATE. What a setup has
collected stays in its `Setup` until it is verified; only then does the installation change.
"""

import secrets
import uuid
from datetime import timedelta

from django.conf import settings
from django.db import connections, models, transaction
from django.urls import reverse
from django.utils import timezone

from connectors import catalogue, releases
from connectors.models import StoredValues
from connectors.registry import Connector
from console import crypto
from console.models import Account
from console.sealed import SealedField
from console.tenancy import PartnerOwned, Principal, TenantQuerySet
from installations.auth.token import Token


class Status(models.TextChoices):
    NOT_SET_UP = "not_set_up", "Not set up"
    WAITING = "waiting_for_consent", "Waiting for consent"
    CONNECTED = "connected", "Connected"
    ATTENTION = "needs_attention", "Needs attention"
    DISCONNECTED = "disconnected", "Disconnected"


class InstallationQuerySet(TenantQuerySet):
    def search(self, text: str, principal: Principal) -> "InstallationQuerySet":
        """Rows in whose name, account or connected account the text stands.

        Accounts are looked up first: a join would visit every installation's account.
        """
        accounts = Account.objects.visible_to(principal).filter(
            models.Q(name__icontains=text) | models.Q(external_id=text)
        )
        return self.filter(
            models.Q(name__icontains=text)
            | models.Q(external_account_name__icontains=text)
            | models.Q(account_id__in=accounts.values("pk"))
        )

    def behind(self, connector: Connector) -> "InstallationQuerySet":
        """Rows made with another release of this connector than today's."""
        rows = self.filter(connector=connector.slug, release__isnull=False, is_tryout=False)
        return rows.exclude(release_id=connector.digest)

    def connectors(self, principal: Principal) -> list[str]:
        """The slugs of the connectors that the partner's customers have installed, in their order.

        From each to the next along an index: DISTINCT would walk through every row.
        """
        database = connections[self.db]
        partner_id = self.model._meta.get_field("partner").get_db_prep_value(principal.partner_id, database)
        table = database.ops.quote_name(self.model._meta.db_table)
        least = f"SELECT MIN(connector) FROM {table} WHERE partner_id = %s"  # noqa: S608 - our own table
        sql = (
            f"WITH RECURSIVE used(slug) AS ({least} UNION ALL "  # noqa: S608
            f"SELECT ({least} AND connector > slug) FROM used WHERE slug IS NOT NULL) "
            "SELECT slug FROM used WHERE slug IS NOT NULL"
        )
        with database.cursor() as cursor:
            cursor.execute(sql, [partner_id, partner_id])
            return [slug for (slug,) in cursor.fetchall()]


# What the lists are sorted by, and what a search looks at.
_LISTED = ["-created_at", "-id", "name", "external_account_name", "account"]


class Installation(PartnerOwned, StoredValues):
    """A connector installed into an account. `values` are those asked at this installation."""

    installation_path = "id"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, models.PROTECT)
    connector = models.CharField(max_length=100)
    name = models.CharField(
        max_length=100, blank=True, help_text="Optional. Helps where one account has several."
    )
    description = models.TextField(
        blank=True, max_length=1000, help_text="Optional. Only your company sees it."
    )
    status = models.CharField(max_length=30, choices=Status.choices, default=Status.NOT_SET_UP)
    # Made to try a draft of the connector out; of no customer.
    is_tryout = models.BooleanField("try-out", default=False, editable=False)
    # The release that it was made with, until it is upgraded.
    release = models.ForeignKey("connectors.Release", models.PROTECT, null=True, editable=False)
    # A code of console.problems, for the states that have a reason.
    problem = models.CharField(max_length=50, blank=True)
    disabled_at = models.DateTimeField(null=True, blank=True)
    auth_method = models.CharField(max_length=50, blank=True)
    # Found after authentication: {"host": "example.retail.heartland.us"}
    discovered = models.JSONField(default=dict)
    external_account_id = models.CharField(max_length=253, blank=True)
    external_account_name = models.CharField(max_length=200, blank=True)
    connected_by = models.CharField(max_length=254, blank=True)
    connected_at = models.DateTimeField(null=True)
    last_worked_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = InstallationQuerySet.as_manager()

    # What a table of installations shows.
    TABLE_COLUMNS = [
        "account",
        "connector",
        "release",
        "name",
        "status",
        "disabled_at",
        "problem",
        "external_account_name",
        "connected_by",
        "last_worked_at",
    ]

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            # In the order of the list, most with all that a search looks at: a list reads no other rows
            # than those it shows.
            models.Index(fields=["partner", *_LISTED], name="installation_by_age"),
            models.Index(fields=["partner", "status", *_LISTED], name="installation_by_status"),
            models.Index(
                fields=["partner", "connector", "-created_at", "-id", "status"],
                name="installation_by_connector",
            ),
            models.Index(fields=["partner", "account", "-created_at", "-id"], name="installation_by_account"),
            # Narrow, for counting what a search finds.
            models.Index(
                fields=["partner", "name", "external_account_name", "account"], name="installation_by_text"
            ),
        ]

    def __str__(self) -> str:
        return self.name or f"{self.connector} of {self.account}"

    @property
    def definition(self) -> Connector | None:
        """The connector as this installation knows it; None where it is gone from the library."""
        return releases.find(self.connector, self.release_id)

    @property
    def current(self) -> Connector | None:
        """What a setup that begins now is for: today's release, for a try-out the draft."""
        find = catalogue.draft if self.is_tryout else catalogue.get
        return find(self.partner_id, self.connector)

    @property
    def newer(self) -> Connector | None:
        """Today's release of its connector, where it is another one."""
        current = self.current
        return current if current and self.release_id and current.digest != self.release_id else None

    @property
    def registration_id(self) -> uuid.UUID:
        """This installation's own client registration, used where the partner supplies none."""
        return self.id

    @property
    def state(self) -> str:
        return "disabled" if self.disabled_at else self.status

    @property
    def state_label(self) -> str:
        return "Switched off" if self.disabled_at else self.get_status_display()

    def current_version(self) -> "CredentialVersion | None":
        return CredentialVersion.objects.filter(current_of__installation=self).first()

    def current_token(self) -> Token | None:
        version = self.current_version()
        return Token.from_json(version.token) if version else None

    def wait_for_consent(self) -> None:
        """An installation that works keeps its state while consent is asked for anew."""
        Installation.objects.filter(pk=self.pk, status=Status.NOT_SET_UP).update(status=Status.WAITING)

    def stop_waiting(self) -> None:
        Installation.objects.filter(pk=self.pk, status=Status.WAITING).update(status=Status.NOT_SET_UP)

    def worked(self, version: "CredentialVersion") -> bool:
        """Note that this version of the credential works. False where another one took its place."""
        return self._seen(version, status=Status.CONNECTED, problem="", last_worked_at=timezone.now())

    def need_attention(self, problem: str, version: "CredentialVersion") -> bool:
        """Note what is wrong with this version. False where another one took its place: it is not blamed."""
        return self._seen(version, status=Status.ATTENTION, problem=problem)

    def _seen(self, version: "CredentialVersion", **found) -> bool:
        states = [Status.CONNECTED, Status.ATTENTION]
        rows = Installation.objects.filter(pk=self.pk, status__in=states, credential__current=version)
        return bool(rows.update(**found))

    def disconnect(self) -> None:
        """Destroy the credential and what was asked at the installation; the row and its record stay."""
        with transaction.atomic():
            # Locked first, as a setup that finishes at this moment does.
            row = Installation.objects.select_for_update().get(pk=self.pk)
            Credential.objects.filter(installation=self).delete()
            CredentialVersion.objects.filter(installation=self).delete()
            Setup.objects.filter(installation=self).delete()
            open_links = SetupLink.objects.filter(installation=self, revoked_at=None, completed_at=None)
            open_links.update(revoked_at=timezone.now())
            row.values, row.stored = None, {}
            row.status, row.problem = Status.DISCONNECTED, ""
            row.save(update_fields=["values", "stored", "status", "problem"])

    def remove(self) -> None:
        """Delete the installation with all that it holds."""
        with transaction.atomic():
            # Locked first, as a setup that finishes at this moment does.
            for row in Installation.objects.select_for_update().filter(pk=self.pk):
                row.delete()

    def set_disabled(self, disabled: bool) -> None:
        Installation.objects.filter(pk=self.pk).update(disabled_at=timezone.now() if disabled else None)

    def open_setup(self) -> "Setup | None":
        return Setup.objects.filter(installation=self, finished_at=None).first()


class CredentialVersion(PartnerOwned):
    """One token as the provider gave it. Only ever added to, so that nothing overwrites a newer one."""

    installation_path = "installation_id"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    installation = models.ForeignKey(Installation, models.CASCADE)
    token = SealedField()
    granted_scopes = models.TextField(blank=True)
    expires_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"version of {self.created_at:%Y-%m-%d %H:%M}"


class Credential(PartnerOwned):
    """Which version of the token an installation uses now."""

    installation_path = "installation_id"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    installation = models.OneToOneField(Installation, models.CASCADE)
    current = models.OneToOneField(CredentialVersion, models.CASCADE, related_name="current_of")

    def __str__(self) -> str:
        return f"credential of {self.installation_id}"


class Setup(PartnerOwned, StoredValues):
    """One walk through the wizard: what has been chosen and entered, but not verified yet."""

    installation_path = "installation_id"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    installation = models.ForeignKey(Installation, models.CASCADE)
    # Whose walk it is: a link's, or that of the partner's people. What one has entered is not the other's.
    setup_link = models.ForeignKey("SetupLink", models.CASCADE, null=True)
    reviewed_at = models.DateTimeField(null=True)
    auth_method = models.CharField(max_length=50, blank=True)
    # Given by the provider, not verified yet; a host look-up that failed leaves it here.
    token = SealedField(null=True)
    # The release that is set up: today's, whatever the installation had.
    release = models.ForeignKey("connectors.Release", models.PROTECT, null=True, editable=False)
    # What the answer about consent and the token response said besides: {"realm_id": "…"}
    found = models.JSONField(default=dict)
    address_needed = models.BooleanField(default=False)
    switch_account = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["installation"], condition=models.Q(finished_at=None), name="one_open_setup"
            )
        ]

    def __str__(self) -> str:
        return f"setup of {self.installation_id}"

    @property
    def definition(self) -> Connector | None:
        return releases.find(self.installation.connector, self.release_id or self.installation.release_id)


class SetupLink(PartnerOwned):
    """A customer's right to set up one installation, without a login.

    It is used up by a completed connection, not by opening it or by starting: mail scanners do both.
    The token has 256 random bits, stands in the link alone, and is kept here as its SHA-256.
    """

    installation_path = "installation_id"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    installation = models.ForeignKey(Installation, models.CASCADE)
    token_digest = models.CharField(max_length=64, unique=True, editable=False)
    email = models.EmailField("e-mail address", blank=True, help_text="Optional: we send the link there.")
    return_url = models.CharField(max_length=500, blank=True)
    created_by = models.CharField(max_length=254)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    completed_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"link of {self.created_at:%Y-%m-%d %H:%M}"

    @classmethod
    def issue(
        cls,
        installation: Installation,
        *,
        by: str,
        email: str = "",
        return_url: str = "",
        id: uuid.UUID | None = None,
    ) -> tuple["SetupLink", str]:
        """A new link and its address, which is known only now. Raises IntegrityError on a taken id."""
        token = secrets.token_urlsafe(32)
        link = cls.objects.create(
            id=id or uuid.uuid4(),
            partner_id=installation.partner_id,
            installation=installation,
            token_digest=crypto.digest(token),
            email=email,
            return_url=return_url,
            created_by=by,
            expires_at=timezone.now() + timedelta(days=settings.SETUP_LINK_DAYS),
        )
        return link, settings.BASE_URL + reverse("setup-link", args=[token])

    @property
    def state(self) -> str:
        """revoked, completed, expired, started or sent."""
        if self.completed_at:
            return "completed"
        if self.revoked_at:
            return "revoked"
        if self.expires_at <= timezone.now():
            return "expired"
        return "started" if self.started_at else "sent"

    @property
    def is_live(self) -> bool:
        return self.state in ("sent", "started")

    def start(self) -> None:
        SetupLink.objects.filter(pk=self.pk, started_at=None).update(started_at=timezone.now())

    def revoke(self) -> None:
        rows = SetupLink.objects.filter(pk=self.pk, revoked_at=None, completed_at=None)
        rows.update(revoked_at=timezone.now())
        Installation(pk=self.installation_id).stop_waiting()


class AuthorizationRequest(PartnerOwned):
    """One request for consent (RFC 6749, section 4.1.1; RFC 5849, section 2.2), until it is answered."""

    installation_path = "installation_id"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    installation = models.ForeignKey(Installation, models.CASCADE)
    setup = models.ForeignKey(Setup, models.CASCADE)
    setup_link = models.ForeignKey(SetupLink, models.CASCADE, null=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True)
    auth_method = models.CharField(max_length=50, default="authorization_code")
    # The client registration whose redirect URI was sent.
    registration_id = models.UUIDField()
    state_digest = models.CharField(max_length=64, unique=True, editable=False)
    browser_digest = models.CharField(max_length=64, editable=False)
    # {"code_verifier": "…"} (RFC 7636, section 7.1), or the temporary credentials (RFC 5849, section 2.1);
    # emptied when the answer arrives, or at the next request once it is too late.
    verifier = SealedField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    consumed_at = models.DateTimeField(null=True)
    # "connected", or a code of console.problems.
    outcome = models.CharField(max_length=50, blank=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["expires_at"], name="request_by_expiry", condition=models.Q(verifier__isnull=False)
            )
        ]

    def __str__(self) -> str:
        return f"request of {self.created_at:%Y-%m-%d %H:%M}"

    def consume(self) -> bool:
        """Take the right to exchange the code. Of any number of takers exactly one gets True."""
        now = timezone.now()
        taken = AuthorizationRequest.objects.filter(pk=self.pk, consumed_at=None, expires_at__gt=now)
        return bool(taken.update(consumed_at=now))

    def close(self, outcome: str) -> None:
        AuthorizationRequest.objects.filter(pk=self.pk).update(outcome=outcome, verifier=None)

    @classmethod
    def forget_expired(cls) -> int:
        """Empty the verifiers of requests that were never answered."""
        late = cls.objects.filter(expires_at__lte=timezone.now(), verifier__isnull=False)
        return late.update(verifier=None)
