"""What there is to tell, what is said of it, and why an endpoint may be told nothing any more."""

from typing import Any, Literal, NamedTuple
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field
from pydantic.json_schema import SkipJsonSchema

TEST = "webhook.test"

_ID = "6f1c2a52-8d0e-4c1b-9a57-2f6b0c7d4e11"
_WEBHOOK_ID = "0b7e8a34-5c1d-4f2e-8a90-1d3c5e7f9b22"


def _said(text: str, example: Any, **more) -> Any:
    """A member of `data`: what it says, and what may stand there."""
    return Field(description=text, examples=[example], **more)


class OfInstallation(BaseModel):
    """What is said of the installation and its account, as both stand at that moment."""

    installation_id: UUID = _said("The installation.", _ID)
    connector: str = _said("The connector's key.", "heartland-retail")
    state: Literal[
        "not_set_up",
        "waiting_for_consent",
        "connected",
        "needs_attention",
        "disconnected",
        "disabled",
        "deleted",
    ] = _said("The state that it is in now; deleted: it is gone.", "connected")
    problem: str | None = _said("Why it needs attention: the code of a problem.", None)
    external_account_id: str | None = _said("The account at the provider that it is connected to.", "harbor")
    account_id: UUID = _said("The account that it is installed in.", "3d5f7a90-1b2c-4d3e-9f40-5a6b7c8d9e0f")
    account_external_id: str | None = _said("That account's id in your own software.", "cust-1042")


class OfConnected(OfInstallation):
    switched_account: bool = _said(
        "Whether it is another account at the provider than before.", False, default=False
    )
    again: bool = _said(
        "Whether it needed attention and works again, without anybody having authorised it anew.",
        True,
        default=False,
    )


class OfReauthorised(OfInstallation):
    switched_account: bool = _said("Whether it is another account at the provider than before.", False)


class OfSetupLink(OfInstallation):
    setup_link_id: UUID = _said("The setup link.", "c4a1e2b3-7f60-4d58-8e91-0a2b4c6d8e10")


class OfReceived(OfInstallation):
    webhook_id: UUID = _said("What came, by its id here: the same when it is forwarded again.", _WEBHOOK_ID)
    event_type: str | None = _said("What the provider calls it.", "payment.updated")
    delivery_id: str | None = _said("The provider's own id of the delivery.", "evt_1042")
    received_at: AwareDatetime = _said("When it came.", "2027-01-31T11:59:59.871Z")
    content_type: str | None = _said("What the provider says that its body is.", "application/json")
    size: int = _said("Bytes of its body.", 42)
    webhook_path: str = _said(
        "Where the API answers with all of it, the body included.",
        f"/api/v1/installations/{_ID}/webhooks/{_WEBHOOK_ID}",
    )
    body: Any = _said(
        "Its body up to 15 kB: an object or a list where it is JSON, else its text; null where it is left "
        "out.",
        {"payment": "p-77", "status": "COMPLETED"},
    )
    body_left_out: Literal["too_large", "not_text"] | SkipJsonSchema[None] = _said(
        "Only where body is left out: why. webhook_path leads to it.", "too_large", default=None
    )


class OfTest(BaseModel):
    endpoint_id: UUID = _said("The endpoint that is tested.", "9e8d7c6b-5a4f-4e3d-8c2b-1a0f9e8d7c6b")


class Told(NamedTuple):
    what: str
    # The members of `data`; those that have a default are not always there.
    data: type[BaseModel]
    # What stands in the example in place of the members' own examples.
    example: dict[str, Any] = {}


_NEW = {"state": "not_set_up", "external_account_id": None}
TOLD = {
    "installation.created": Told("A connector was installed in an account.", OfInstallation, _NEW),
    "installation.connected": Told(
        "An installation works, for the first time or again.", OfConnected, {"switched_account": False}
    ),
    "installation.needs_attention": Told(
        "An installation stopped working, and a person has to mend it.",
        OfInstallation,
        {"state": "needs_attention", "problem": "grant_ended"},
    ),
    "installation.reauthorised": Told("A connected installation was given a new credential.", OfReauthorised),
    "installation.disconnected": Told(
        "An installation's credential was destroyed.", OfInstallation, {"state": "disconnected"}
    ),
    "installation.deleted": Told("An installation was deleted.", OfInstallation, {"state": "deleted"}),
    "setup_link.opened": Told("A customer began with a setup link.", OfSetupLink, _NEW),
    "setup_link.completed": Told(
        "A customer finished with a setup link: its installation is connected.", OfSetupLink
    ),
    "setup_link.expired": Told("A setup link ended without having been used.", OfSetupLink, _NEW),
    "webhook.received": Told(
        "A provider sent a webhook for an installation.", OfReceived, {"connector": "square"}
    ),
    TEST: Told("Somebody of your company tests an endpoint. It says nothing.", OfTest),
}
# Of each that an endpoint may choose, what has happened.
TYPES = {name: told.what for name, told in TOLD.items() if name != TEST}

BY_HAND, GONE, FAILING = "by_hand", "gone", "failing"
REASONS = {
    BY_HAND: "Switched off by one of your people.",
    GONE: "It answered 410 Gone: it wants nothing any more.",
    FAILING: "Nothing but failures for days.",
}

# Why a try had no answer: kinds of console.http.Unreachable, and our own.
WHY = {
    "timeout": "No answer within 15 seconds.",
    "address": "The name leads to an address or a port that we do not connect to.",
    "dns": "The name is not known.",
    "tls": "The certificate is not valid.",
    "too_large": "The answer was larger than 1 MB.",
    "scheme": "Only https is allowed.",
    "connection": "The connection failed.",
    "secret": "The secret of this endpoint cannot be read. Rotate it.",
}
