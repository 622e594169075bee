"""A connector in an account: what state it is in, and how that changes."""

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import connections, models, transaction
from django.utils import timezone

from connectors import catalogue, releases
from connectors.models import StoredValues
from connectors.registry import Connector
from console import jobs
from console.models import Account
from console.tenancy import PartnerOwned, Principal, TenantQuerySet
from installations.auth.token import Token

if TYPE_CHECKING:
    from installations.models.credential import CredentialVersion
    from installations.models.setup import Setup


class Status(models.TextChoices):
    NOT_SET_UP = "not_set_up", "Not set up"
    WAITING = "waiting_for_consent", "Waiting for consent"
    CONNECTED = "connected", "Connected"
    ATTENTION = "needs_attention", "Needs attention"
    DISCONNECTED = "disconnected", "Disconnected"


# A status is one until support switches the installation off.
SWITCHED_OFF = ("disabled", "Switched off")
# Of these a credential is stored.
HELD = (Status.CONNECTED, Status.ATTENTION)
# So far ahead an end is told.
SOON = timedelta(days=30)


class InstallationQuerySet(TenantQuerySet):
    def in_state(self, state: str) -> "InstallationQuerySet":
        """Rows of one state, as `Installation.state` names it: each row is in exactly one."""
        if state == SWITCHED_OFF[0]:
            return self.filter(disabled_at__isnull=False)
        return self.filter(status=state, disabled_at=None)

    def ending_soon(self) -> "InstallationQuerySet":
        """Rows whose grant ends within thirty days, whatever we do."""
        return self.filter(status__in=HELD, disabled_at=None, grant_expires_at__lte=timezone.now() + SOON)

    def lacking_scopes(self) -> "InstallationQuerySet":
        """Rows whose customer has not granted all that the partner asks for."""
        return self.filter(missing_scopes__gt="", status__in=HELD, disabled_at=None)

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

    def of_partner(self, principal: Principal, keys: list) -> dict[uuid.UUID, "Installation"]:
        """The partner's rows of these keys, with their accounts, for its own people.

        Looked up by key alone: given the partner as well, SQLite may walk through all that it has.
        """
        rows = self.model._base_manager.select_related("account").defer("values").in_bulk(keys)
        mine = None if principal.is_customer else principal.partner_id
        return {pk: row for pk, row in rows.items() if row.partner_id == mine}

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
_ORDER = ["-created_at", "-id"]
_LISTED = [*_ORDER, "name", "external_account_name", "account"]


class Installation(PartnerOwned, StoredValues):
    """A connector installed into an account. `values` are those asked at this installation."""

    installation_path = "id"
    account_path = "account_id"
    tryout_path = "is_tryout"

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
    # What support has switched off only support switches on again.
    disabled_by_support = models.BooleanField(default=False, editable=False)
    auth_method = models.CharField(max_length=50, blank=True)
    # Found after authentication: {"host": "example.retail.heartland.us"}
    discovered = models.JSONField(default=dict)
    # Names the partner's OAuth client that its access was given to; "" where there is none, or its own.
    client_digest = models.CharField(max_length=64, blank=True, editable=False)
    external_account_id = models.CharField(max_length=253, blank=True)
    external_account_name = models.CharField(max_length=200, blank=True)
    connected_by = models.CharField(max_length=254, blank=True)
    connected_at = models.DateTimeField(null=True)
    last_worked_at = models.DateTimeField(null=True)
    # Whatever came of it.
    last_checked_at = models.DateTimeField(null=True)
    # Scopes that the partner asks for and the customer has not granted, with spaces between them.
    missing_scopes = models.TextField(blank=True)
    # When the grant ends whatever we do: a token that cannot be renewed, or the refresh token's own end.
    grant_expires_at = models.DateTimeField(null=True)
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
            models.Index(
                fields=["partner", "status", *_LISTED, "disabled_at"], name="installation_by_status"
            ),
            models.Index(
                fields=["partner", "connector", "-created_at", "-id", "status", "disabled_at"],
                name="installation_by_connector",
            ),
            models.Index(fields=["partner", "account", "-created_at", "-id"], name="installation_by_account"),
            # Whatever else is connected to the same account.
            models.Index(
                fields=["partner", "connector", "external_account_id"],
                name="installation_by_external",
                condition=~models.Q(external_account_id=""),
            ),
            # How many live by one OAuth client of the partner, and which do not, in the order of their list.
            models.Index(
                fields=["partner", "connector", "client_digest", "id", "auth_method", "is_tryout"],
                name="installation_by_client",
                condition=~models.Q(client_digest=""),
            ),
            # Narrow, for counting each connector's states in one walk.
            models.Index(
                fields=["partner", "connector", "status", "disabled_at"], name="installation_counted"
            ),
            # All that the start page asks about what does not work: a small part of all.
            models.Index(
                fields=[
                    "partner",
                    "status",
                    "disabled_at",
                    "account",
                    "connector",
                    "problem",
                    "grant_expires_at",
                ],
                name="installation_in_need",
                condition=models.Q(status="needs_attention"),
            ),
            # The longest silent first.
            models.Index(
                fields=["partner", "last_worked_at", *_ORDER, "status", "disabled_at", "connector"],
                name="installation_by_silence",
            ),
            models.Index(
                fields=["partner", *_ORDER],
                name="installation_switched_off",
                condition=models.Q(disabled_at__isnull=False),
            ),
            # Narrow, for counting what a search finds.
            models.Index(
                fields=["partner", "name", "external_account_name", "account"], name="installation_by_text"
            ),
            # What ends soon, or lacks something: a small part of all.
            models.Index(
                fields=["partner", "grant_expires_at"],
                name="installation_by_expiry",
                condition=models.Q(grant_expires_at__isnull=False),
            ),
            models.Index(
                fields=["partner", "disabled_at", "status", "connector"],
                name="installation_lacks_scopes",
                condition=models.Q(missing_scopes__gt=""),
            ),
        ]

    def __str__(self) -> str:
        return self.name or f"{self.connector} of {self.account}"

    @property
    def title(self) -> str:
        """Its connector and its own name, which may say the connector's already."""
        connector = getattr(self, "connector_name", "") or (
            self.definition.name if self.definition else self.connector
        )
        if connector.lower() in self.name.lower():
            return self.name
        return f"{connector} · {self.name}" if self.name else connector

    @property
    def full_title(self) -> str:
        return f"{self.title}{', ' if ' of ' in self.title else ' of '}{self.account.name}"

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
        return SWITCHED_OFF[0] if self.disabled_at else self.status

    @property
    def state_label(self) -> str:
        return SWITCHED_OFF[1] if self.disabled_at else self.get_status_display()

    def current_version(self) -> "CredentialVersion | None":
        return self.credentialversion_set.filter(current_of__installation=self).first()

    def current_token(self) -> Token | None:
        version = self.current_version()
        return Token.from_json(version.token) if version else None

    def wait_for_consent(self) -> None:
        """An installation that works keeps its state while consent is asked for anew."""
        Installation.objects.filter(pk=self.pk, status=Status.NOT_SET_UP).update(status=Status.WAITING)

    def stop_waiting(self) -> None:
        Installation.objects.filter(pk=self.pk, status=Status.WAITING).update(status=Status.NOT_SET_UP)

    def worked(self, version: "CredentialVersion") -> bool:
        """Note that this version of the credential works. True where it needed attention until now."""
        if not self._seen(version, last_worked_at=timezone.now()):
            return False
        # One that works for now and cannot be renewed still needs a person.
        dying = models.Q(problem__in=["grant_ended", "renewal_lost", "renewal_unknown"])
        ailing = models.Q(status=Status.ATTENTION)
        return self._seen(version, ~dying, ailing, status=Status.CONNECTED, problem="")

    def need_attention(self, problem: str, version: "CredentialVersion") -> bool:
        """Note what is wrong with this version. False where another one took its place: it is not blamed."""
        return self._seen(version, status=Status.ATTENTION, problem=problem)

    def _seen(self, version: "CredentialVersion", *only: models.Q, **found) -> bool:
        rows = Installation.objects.filter(*only, pk=self.pk, status__in=HELD, credential__current=version)
        return bool(rows.update(**found))

    def disconnect(self) -> bool:
        """Destroy the credential and what was asked at the installation; the row and its record stay.

        False where it was disconnected before.
        """
        with transaction.atomic():
            # Locked first, as a setup that finishes at this moment does.
            row = Installation.objects.select_for_update().get(pk=self.pk)
            # By way of the rows that point here: their modules import this one.
            self._meta.get_field("credential").related_model.objects.filter(installation=self).delete()
            self.credentialversion_set.all().delete()
            self.setup_set.all().delete()
            self._meta.get_field("hookaddress").related_model.objects.filter(installation=self).update(
                secret=None, ended_at=timezone.now()
            )
            self.setuplink_set.filter(revoked_at=None, completed_at=None).update(revoked_at=timezone.now())
            was_another = row.status != Status.DISCONNECTED
            row.values, row.stored = None, {}
            row.status, row.problem, row.client_digest = Status.DISCONNECTED, "", ""
            row.save(update_fields=["values", "stored", "status", "problem", "client_digest"])
            return was_another

    def remove(self) -> bool:
        """Delete the installation with all that it holds; False where somebody else has."""
        with transaction.atomic():
            # Locked first, as a setup that finishes at this moment does.
            row = Installation.objects.select_for_update().filter(pk=self.pk).first()
            if row:
                row.delete()
            return row is not None

    def set_disabled(self, disabled: bool, *, by_support: bool = True) -> bool:
        """Switch it off or on; False where nothing changed. What support switched off support switches on."""
        rows = Installation.objects.filter(pk=self.pk)
        if disabled:
            taken = by_support and rows.exclude(disabled_at=None).update(disabled_by_support=True)
            now = {"disabled_at": timezone.now(), "disabled_by_support": by_support}
            return bool(rows.filter(disabled_at=None).update(**now) or taken)
        if not by_support:
            rows = rows.filter(disabled_by_support=False)
        with transaction.atomic():
            is_on = rows.exclude(disabled_at=None).update(disabled_at=None, disabled_by_support=False)
            if is_on and self.status in (Status.CONNECTED, Status.ATTENTION):
                # Meanwhile its token may have run out.
                for kind in ("renew", "check"):
                    jobs.schedule(kind, self.pk, self.partner_id)
        return bool(is_on)

    def open_setup(self) -> "Setup | None":
        return self.setup_set.filter(finished_at=None).first()
