"""What has been installed, the credential it holds, and how it came to it.

A row's state changes only through methods of the models, each one conditional UPDATE. What a setup has
collected stays in its `Setup` until it is verified; only then does the installation change.
"""

from installations.models.alert import Alert, Circuit
from installations.models.authorization_request import AuthorizationRequest
from installations.models.credential import Credential, CredentialVersion
from installations.models.installation import HELD, SWITCHED_OFF, Installation, Status
from installations.models.notice import DigestItem, Notice
from installations.models.received import HookAddress, ReceivedWebhook
from installations.models.revocation import Revocation
from installations.models.setup import Setup, SetupLink
from installations.models.tally import Tally
from installations.models.webhook import (
    DeliveryState,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookMessage,
)

__all__ = [
    "HELD",
    "SWITCHED_OFF",
    "Alert",
    "AuthorizationRequest",
    "Circuit",
    "Credential",
    "CredentialVersion",
    "DeliveryState",
    "DigestItem",
    "HookAddress",
    "Installation",
    "Notice",
    "ReceivedWebhook",
    "Revocation",
    "Setup",
    "SetupLink",
    "Status",
    "Tally",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WebhookMessage",
]
