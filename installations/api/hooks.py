"""What providers send for an installation: the address to register with them, and what came there."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from ninja import Query, Router, Schema
from pydantic import Field

from connectors.manifest.webhook import Webhook
from console.api_operations import operation
from console.contract import Body, Page, Paging, Words, answer, page, refuse_changed
from console.idempotency import idempotent
from console.problems import ProblemError
from installations.api.installations import ONE, find
from installations.hooks import addresses, forwarding
from installations.models import HELD, HookAddress, Installation, ReceivedWebhook

router = Router(tags=["Received webhooks"])


class AddressOut(Schema):
    created_at: datetime
    created_by: str
    is_ended: bool = Field(description="The installation was disconnected: nothing is taken there any more.")
    has_secret: bool = Field(description="Until then nothing can be proven, and all that comes is refused.")
    refused: int = Field(description="How many requests were not proven to be the provider's.")
    refused_at: datetime | None
    refused_because: str | None = Field(description="What was wrong with the last of them.")

    @classmethod
    def of(cls, row: HookAddress) -> "AddressOut":
        return cls(
            created_at=row.created_at,
            created_by=row.created_by,
            is_ended=row.ended_at is not None,
            has_secret=row.has_secret,
            refused=row.refused,
            refused_at=row.refused_at,
            refused_because=row.why_refused or None,
        )


class NewAddress(Schema):
    url: str = Field(description="Register it with the provider. It is known only now.")
    secret: str | None = Field(
        description="Enter it there, where the secret is ours to choose; known only now. null: the provider "
        "chooses one, or brings it along."
    )
    secret_missing: bool = Field(description="The provider shows a secret, which is still to be stored.")
    register_at: str = Field(description="Where at the provider it is registered.")


class AddressIn(Body):
    secret: str = Field(
        "",
        max_length=500,
        description="What the provider signs with, where it chooses that and you have it; otherwise the one "
        "that was stored is kept.",
    )


class AddressPatch(Body):
    secret: str = Field(min_length=1, max_length=500, description="What the provider signs with.")


class ReceivedOut(Schema):
    id: UUID
    received_at: datetime
    event_type: str | None = Field(description="What the provider calls it.")
    delivery_id: str | None = Field(description="The provider's own id.")
    content_type: str | None
    size: int = Field(description="Bytes of its body.")
    message_id: str | None = Field(
        description="The webhook-id of the last message that told your endpoints; null: none wanted it."
    )
    forwarded_at: datetime | None


class ReceivedWhole(ReceivedOut):
    body: str = Field(description="To the byte as it came.")
    body_encoding: Literal["utf-8", "base64"] = Field(description="base64: it is not text in UTF-8.")


class AskedReceived(Paging):
    event_type: Words = ""


def _facts(row: ReceivedWebhook) -> dict:
    return {
        "id": row.pk,
        "received_at": row.received_at,
        "event_type": row.event_type or None,
        "delivery_id": row.delivery_id or None,
        "content_type": row.content_type or None,
        "size": row.size,
        "message_id": row.message_id or None,
        "forwarded_at": row.forwarded_at,
    }


def _out(row: ReceivedWebhook) -> ReceivedOut:
    return ReceivedOut(**_facts(row))


def _declared(request: HttpRequest, installation_id: UUID) -> tuple[Installation, Webhook]:
    """The caller's installation, to which webhooks may come. Raises ProblemError where none ever do."""
    row = find(request, installation_id)
    webhook = addresses.declared(row)
    if webhook is None:
        raise ProblemError("webhooks_not_declared" if row.definition else "connector_gone")
    return row, webhook


def _address(request: HttpRequest, row: Installation) -> HookAddress:
    return get_object_or_404(HookAddress.objects.visible_to(request.principal), installation=row)


def _received(request: HttpRequest, row: Installation, received_id: UUID) -> ReceivedWebhook:
    rows = ReceivedWebhook.objects.visible_to(request.principal).filter(installation=row)
    return get_object_or_404(rows, pk=received_id)


@operation(router.get, ONE + "/webhook-address", "read", AddressOut, 404, 409)
def get_webhook_address(request: HttpRequest, installation_id: UUID) -> HttpResponse:
    """Read how its webhook address does.

    The address itself is shown once, when it is made.
    """
    row, _ = _declared(request, installation_id)
    return answer(request, AddressOut.of(_address(request, row)))


@operation(router.post, ONE + "/webhook-address", "write", NewAddress, 404, 409, status=201)
@idempotent
def make_webhook_address(request: HttpRequest, installation_id: UUID, body: AddressIn) -> HttpResponse:
    """Make the address for its provider's webhooks, or another one.

    Register it with the provider: it is known only now, and the one before ends at once.
    """
    row, webhook = _declared(request, installation_id)
    if row.status not in HELD:
        raise ProblemError("not_connected")
    if row.disabled_at:
        raise ProblemError("installation_disabled")
    if body.secret and webhook.secret.by != "provider":
        raise ProblemError("webhook_secret_not_expected")
    before = HookAddress.objects.visible_to(request.principal).filter(installation=row).first()
    made = addresses.make(row, webhook, before, body.secret, request.principal)
    new = NewAddress(
        url=made.url,
        secret=made.ours,
        secret_missing=made.is_missing,
        register_at=webhook.register_at,
    )
    return answer(request, new, 201)


@operation(router.patch, ONE + "/webhook-address", "write", AddressOut, 404, 409, 412)
def update_webhook_address(request: HttpRequest, installation_id: UUID, body: AddressPatch) -> HttpResponse:
    """Store the secret that the provider signs with."""
    row, webhook = _declared(request, installation_id)
    address = _address(request, row)
    if address.ended_at:
        raise ProblemError("not_connected")
    if not addresses.expects_secret(webhook, address):
        raise ProblemError("webhook_secret_not_expected")
    refuse_changed(request, AddressOut.of(address))
    addresses.store_secret(address, webhook, body.secret, request.principal)
    return answer(request, AddressOut.of(_address(request, row)))


@operation(router.get, ONE + "/webhooks", "read", Page[ReceivedOut], 404, 409)
def list_received_webhooks(
    request: HttpRequest, installation_id: UUID, asked: Query[AskedReceived]
) -> HttpResponse:
    """List what its provider sent, newest first.

    Each is kept for 30 days.
    """
    row, _ = _declared(request, installation_id)
    rows = ReceivedWebhook.objects.visible_to(request.principal).filter(installation=row).defer("body")
    if asked.event_type:
        rows = rows.filter(event_type=asked.event_type)
    return answer(request, Page[ReceivedOut](**page(rows, asked, _out, newest_first="received_at")))


@operation(router.get, ONE + "/webhooks/{uuid:received_id}", "read", ReceivedWhole, 404, 409)
def get_received_webhook(request: HttpRequest, installation_id: UUID, received_id: UUID) -> HttpResponse:
    """Read one with its body."""
    row, _ = _declared(request, installation_id)
    found = _received(request, row, received_id)
    text, encoding = found.written
    return answer(request, ReceivedWhole(**_facts(found), body=text, body_encoding=encoding))


@operation(router.post, ONE + "/webhooks/{uuid:received_id}/forward", "write", ReceivedOut, 404, 409)
@idempotent
def forward_received_webhook(request: HttpRequest, installation_id: UUID, received_id: UUID) -> HttpResponse:
    """Tell your endpoints of it again.

    As a new message with another webhook-id, to those that take webhook.received.
    """
    row, _ = _declared(request, installation_id)
    found = _received(request, row, received_id)
    if not forwarding.forward_again(found, row, request.principal):
        raise ProblemError("webhook_not_wanted")
    return answer(request, _out(found))
