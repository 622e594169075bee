"""Who there is, what was done, what is to be done, and who may call the API."""

from console.models.api_key import ApiCall, ApiKey
from console.models.event import Event, EventQuerySet
from console.models.job import Job, Pause
from console.models.key_canary import KeyCanary
from console.models.people import (
    HOSTNAME,
    Account,
    Membership,
    Partner,
    User,
    UserManager,
    plain_text,
)

__all__ = [
    "HOSTNAME",
    "Account",
    "ApiCall",
    "ApiKey",
    "Event",
    "EventQuerySet",
    "Job",
    "KeyCanary",
    "Membership",
    "Partner",
    "Pause",
    "User",
    "UserManager",
    "plain_text",
]
