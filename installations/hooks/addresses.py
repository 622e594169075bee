"""Where a provider is to send an installation's webhooks, and the secret it signs them with."""

import secrets
from typing import NamedTuple

from django.db import transaction

from connectors.manifest.webhook import Webhook
from console.models import Event
from console.tenancy import Principal
from installations.models import HELD, HookAddress, Installation


class Made(NamedTuple):
    """What is known only now. `ours`: the secret to enter at the provider, where we choose it."""

    url: str
    ours: str | None
    # The provider chooses the secret, and nobody has entered it.
    is_missing: bool


def declared(installation: Installation) -> Webhook | None:
    """How its connector's webhooks are verified; None where it declares none, or is gone."""
    connector = installation.definition
    return connector.manifest.webhook if connector else None


def may_begin(installation: Installation) -> bool:
    """Only what is connected and switched on can be sent something."""
    return installation.status in HELD and not installation.disabled_at


def make(
    installation: Installation,
    webhook: Webhook,
    before: HookAddress | None,
    entered: str,
    principal: Principal,
) -> Made:
    """Make its address, which takes the place of the one before. A secret that was entered is kept."""
    with transaction.atomic():
        ours = secrets.token_urlsafe(32) if webhook.secret.by == "us" else None
        secret = ours
        if webhook.secret.by == "provider":
            secret = entered or (before and before.secret) or None
        url = HookAddress.issue(installation, by=principal.actor, secret=secret)
        told = "Another webhook address was made" if before else "A webhook address was made"
        Event.objects.record("webhook_address.made", principal, told, subject=installation)
    return Made(url, ours, webhook.secret.by == "provider" and not secret)


def expects_secret(webhook: Webhook, address: HookAddress | None) -> bool:
    """Whether there is an address for which somebody has to enter what the provider shows."""
    return webhook.secret.by == "provider" and address is not None and not address.ended_at


def store_secret(address: HookAddress, webhook: Webhook, secret: str, principal: Principal) -> None:
    with transaction.atomic():
        address.set_secret(secret)
        told = f"The {webhook.secret.label} of its webhooks was stored"
        Event.objects.record("webhook_secret.stored", principal, told, subject=address.installation_id)
