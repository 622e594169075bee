"""What a partner stores for a connector, for all its installations."""

import uuid
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models, transaction
from django.urls import reverse
from django.utils import timezone

from connectors import registry
from connectors.manifest import AuthMethod, Manifest
from connectors.models.custom import CustomConnector
from console import clock, jobs
from console.models import Event
from console.sealed import SealedField
from console.tenancy import PartnerOwned, Principal, TenantQuerySet


def redirect_uri(registration_id: uuid.UUID) -> str:
    """The redirect URI of one client registration.

    Each has its own, so that an answer meant for one is never taken by another
    (RFC 9700, section 4.4.2).
    """
    return settings.BASE_URL + reverse("oauth-callback", args=[registration_id])


class StoredValues(models.Model):
    """Values kept for a connector's properties: sealed, beside who stored each and when."""

    # {"client_secret": "…"}
    values = SealedField(null=True)
    # {"client_secret": {"at": "2026-11-23T10:00:00+00:00", "by": "maya@example.com"}}
    stored = models.JSONField(default=dict)

    class Meta:
        abstract = True

    def set_values(self, changes: dict[str, Any], actor: str) -> None:
        """Take the changes over, None meaning removal. Saves nothing."""
        values, stored = dict(self.values or {}), dict(self.stored)
        for name, value in changes.items():
            if value is None:
                values.pop(name, None)
                stored.pop(name, None)
            elif values.get(name) != value:
                values[name] = value
                stored[name] = {"at": timezone.now().isoformat(timespec="seconds"), "by": actor}
        self.values, self.stored = values or None, stored


class ConnectorSettingsQuerySet(TenantQuerySet):
    def for_connector(self, partner_id: uuid.UUID, slug: str) -> "ConnectorSettings":
        """The partner's row for a connector, or an unsaved one: reading a page writes nothing."""
        found = self.filter(partner_id=partner_id, connector=slug).first()
        return found or ConnectorSettings(
            id=ConnectorSettings.registration_id(partner_id, slug), partner_id=partner_id, connector=slug
        )


class ConnectorSettings(PartnerOwned, StoredValues):
    """One partner's values for one connector. Its id names the partner's client registration."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    connector = models.CharField(max_length=100)
    # Empty: the manifest's default scopes, all auth methods.
    scopes = models.TextField(blank=True)
    auth_methods = models.JSONField(default=list, blank=True)
    # When the provider's own console says that the client secret ends.
    secret_expires_on = models.DateField(null=True, blank=True)
    # The OAuth clients that were replaced last, the latest first, which still count until then:
    # [{"client_id": "…", "client_secret": "…"}]
    previous = SealedField(null=True)
    previous_until = models.DateTimeField(null=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = ConnectorSettingsQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "connector settings"
        constraints = [
            models.UniqueConstraint(fields=["partner", "connector"], name="one_settings_per_connector")
        ]

    def __str__(self) -> str:
        return f"{self.connector} of {self.partner}"

    @staticmethod
    def registration_id(partner_id: uuid.UUID, slug: str) -> uuid.UUID:
        """Known before anything is stored: the redirect URI is registered first, typed in afterwards."""
        return uuid.uuid5(partner_id, slug)

    @property
    def redirect_uri(self) -> str:
        return redirect_uri(self.id)

    @property
    def _name(self) -> str:
        if connector := registry.get(self.connector):
            return connector.name
        own = CustomConnector.objects.filter(partner_id=self.partner_id, slug=self.connector).first()
        return own.draft.name if own else self.connector

    def change(
        self,
        principal: Principal,
        values: dict[str, Any],
        *,
        client: Collection[str] = (),
        overlap: timedelta = timedelta(0),
        **fields: Any,
    ) -> bool:
        """Store or remove (None) values and set the other fields, as one change; False if there was none.

        `client` are the properties that make the OAuth client: what they were counts on for `overlap`.
        """
        with transaction.atomic():
            ConnectorSettings.objects.get_or_create(
                pk=self.pk, defaults={"partner_id": self.partner_id, "connector": self.connector}
            )
            row = ConnectorSettings.objects.select_for_update().get(pk=self.pk)
            before = dict(row.values or {})
            row.set_values(values, principal.actor)
            changed = sorted(name for name, value in fields.items() if getattr(row, name) != value)
            for name in changed:
                setattr(row, name, fields[name])
            row._replace_client(before, client, overlap)
            row.save()
            # By name alone: what did change, not what was sent along.
            after = row.values or {}
            removed = sorted(before.keys() - after.keys())
            kept = sorted(name for name, value in after.items() if before.get(name) != value)
            if not (removed or kept or changed):
                return False
            Event.objects.record(
                "connector_settings.changed",
                principal,
                f"Settings of {self._name} were changed",
                subject=row,
                stored=kept,
                removed=removed,
                fields=changed,
            )
            # What is asked for may be more now than what was granted.
            jobs.schedule("scopes", row.pk, row.partner_id)
        return True

    def _replace_client(self, before: dict[str, Any], client: Collection[str], overlap: timedelta) -> None:
        """Let the client that was stored before count on, where another one took its place. Saves nothing."""
        now = self.values or {}
        old = {name: before[name] for name in client if name in before}
        if all(now.get(name) == before.get(name) for name in client):
            return
        if not overlap or not old or not old.keys() <= now.keys():
            self.previous, self.previous_until = None, None
            return
        # Two of them: a mistake that is mended at once does not cost the one that worked.
        kept = self.previous_clients(clock.now())
        self.previous, self.previous_until = [old, *kept][:2], clock.now() + overlap

    def previous_clients(self, at: datetime) -> list[dict[str, str]]:
        """The OAuth clients before today's that still count."""
        counts = self.previous_until and self.previous_until > at
        return list(self.previous or []) if counts else []

    def end_overlap(self, principal: Principal) -> bool:
        """Let the client before count no more; False where none did."""
        with transaction.atomic():
            row = ConnectorSettings.objects.select_for_update().filter(pk=self.pk).first()
            if row is None or row.previous_until is None:
                return False
            row.previous, row.previous_until = None, None
            row.save(update_fields=["previous", "previous_until"])
            Event.objects.record(
                "connector_settings.overlap_ended",
                principal,
                f"The values of {self._name} before today's no longer count",
                subject=row,
            )
        return True

    def supplied(self, manifest: Manifest, auth_method: str) -> set[str]:
        """The properties that no installation is asked for. Half of a client registration is none."""
        client = manifest.client_registration(auth_method)
        due = {prop.name for prop in manifest.partner_properties if prop.required} & client
        return set(self.stored) if due <= self.stored.keys() else self.stored.keys() - client

    def values_for(self, manifest: Manifest, auth_method: str) -> dict[str, str]:
        """The values that count before an installation's own: half of a client registration does not."""
        supplied = self.supplied(manifest, auth_method)
        return {name: value for name, value in (self.values or {}).items() if name in supplied}

    def scopes_for(self, method: AuthMethod) -> list[str]:
        """What to ask for: the partner's own scopes, or the manifest's."""
        return self.scopes.split() or list(getattr(method, "default_scopes", ()))

    def offered_methods(self, manifest: Manifest) -> list[str]:
        """The auth methods that a customer may choose from, in the manifest's order."""
        keys = [method.key for method in manifest.auth_methods]
        return [key for key in keys if key in self.auth_methods] or keys


def completeness(manifest: Manifest, stored: dict) -> str:
    """How much of a connector a partner has supplied: "complete", "partial", "empty", or "nothing" is due."""
    wanted = {prop.name for prop in manifest.partner_properties if prop.required}
    if not manifest.partner_properties:
        return "nothing"
    if wanted <= stored.keys() and (stored or wanted):
        return "complete"
    return "partial" if stored else "empty"
