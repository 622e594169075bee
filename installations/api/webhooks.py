"""Webhook endpoints: where the partner's own software is told what happens."""

from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from ninja import Query, Router, Schema
from pydantic import Field, StrictBool

from console.api_operations import operation
from console.contract import Body, Line, Moment, Page, Paging, answer, page, refuse_changed, refuse_partial
from console.idempotency import idempotent
from console.problems import ProblemError
from installations.models import WebhookDelivery, WebhookEndpoint
from installations.webhooks import endpoints

router = Router(tags=["Webhooks"])
ONE = "/webhook-endpoints/{uuid:endpoint_id}"


class EndpointOut(Schema):
    id: UUID
    url: str
    description: str
    types: list[str] = Field(description="What is told there; empty: everything, and what is added later.")
    is_active: bool
    disabled_reason: str | None
    failing_since: datetime | None = Field(description="Since when every delivery has failed.")
    created_at: datetime

    @classmethod
    def of(cls, row: WebhookEndpoint) -> "EndpointOut":
        return cls(**_facts(row))


class NewEndpoint(EndpointOut):
    secret: str = Field(description="Signs what is sent (Standard Webhooks). It is known only now.")


class Secret(Schema):
    secret: str = Field(description="It is known only now.")


class EndpointIn(Body):
    url: str = Field(max_length=500, description="An https address.")
    description: Line = ""
    types: list[str] = Field([], max_length=50)


class EndpointPatch(Body):
    url: str | None = Field(None, max_length=500)
    description: Line | None = None
    types: list[str] | None = Field(None, max_length=50)
    is_active: StrictBool | None = None


class RotateIn(Body):
    overlap_hours: int = Field(24, ge=0, le=168, description="So long the secret before signs as well.")


class ReplayIn(Body):
    since: Moment
    until: Moment | None = None


class Replayed(Schema):
    messages: int


class Try(Schema):
    at: datetime
    ms: int | None
    status: int | None
    problem: str | None
    excerpt: str | None


class DeliveryOut(Schema):
    id: UUID
    message_id: str = Field(description="The webhook-id, the same at each try.")
    type: str
    state: Literal["pending", "delivered", "failed"]
    created_at: datetime
    next_at: datetime | None
    tries: list[Try]

    @classmethod
    def of(cls, row: WebhookDelivery) -> "DeliveryOut":
        tries = [
            Try(
                at=made["at"],
                ms=made.get("ms"),
                status=made.get("status"),
                problem=made.get("problem") or None,
                excerpt=made.get("excerpt") or None,
            )
            for made in row.tries
        ]
        return cls(
            id=row.pk,
            message_id=row.message_id,
            type=row.message.type,
            state=row.state,
            created_at=row.created_at,
            next_at=row.next_at,
            tries=tries,
        )


class AskedDeliveries(Paging):
    state: Literal["pending", "delivered", "failed"] | None = None


def _facts(row: WebhookEndpoint) -> dict:
    return {
        "id": row.pk,
        "url": row.url,
        "description": row.description,
        "types": list(row.types),
        "is_active": row.is_active,
        "disabled_reason": row.disabled_reason or None,
        "failing_since": row.failing_since,
        "created_at": row.created_at,
    }


def _find(request: HttpRequest, endpoint_id: UUID, *, hold: bool = False) -> WebhookEndpoint:
    rows = WebhookEndpoint.objects.visible_to(request.principal).held(hold)
    return get_object_or_404(rows, pk=endpoint_id)


def _wrong(error: ValidationError) -> ProblemError:
    if hasattr(error, "error_dict"):
        errors = [
            {"pointer": f"#/{name}", "detail": text}
            for name, texts in error.message_dict.items()
            for text in texts
        ]
    else:
        errors = [{"pointer": "#", "detail": text} for text in error.messages]
    return ProblemError("invalid_request", errors=errors)


@operation(router.get, "/webhook-endpoints", "read", Page[EndpointOut])
def list_webhook_endpoints(request: HttpRequest, asked: Query[Paging]) -> HttpResponse:
    """List your endpoints, newest first."""
    refuse_partial(request)
    rows = WebhookEndpoint.objects.visible_to(request.principal)
    return answer(request, Page[EndpointOut](**page(rows, asked, EndpointOut.of)))


@operation(router.post, "/webhook-endpoints", "write", NewEndpoint, status=201)
@idempotent
def create_webhook_endpoint(request: HttpRequest, body: EndpointIn) -> HttpResponse:
    """Add an endpoint."""
    refuse_partial(request)
    try:
        row, secret = endpoints.create(request.principal, **body.model_dump())
    except ValidationError as error:
        raise _wrong(error) from None
    new = NewEndpoint(**_facts(row), secret=secret)
    return answer(request, new, 201, Location=f"/api/v1/webhook-endpoints/{row.pk}")


@operation(router.get, ONE, "read", EndpointOut, 404)
def get_webhook_endpoint(request: HttpRequest, endpoint_id: UUID) -> HttpResponse:
    """Read one endpoint."""
    return answer(request, EndpointOut.of(_find(request, endpoint_id)))


@operation(router.patch, ONE, "write", EndpointOut, 404, 412)
@transaction.atomic
def update_webhook_endpoint(request: HttpRequest, endpoint_id: UUID, body: EndpointPatch) -> HttpResponse:
    """Change an endpoint, or switch it off or on."""
    row = _find(request, endpoint_id, hold=True)
    refuse_changed(request, EndpointOut.of(row))
    sent = {name: value for name, value in body.model_dump(exclude_unset=True).items() if value is not None}
    on = sent.pop("is_active", None)
    try:
        if sent:
            endpoints.change(request.principal, row, **sent)
    except ValidationError as error:
        raise _wrong(error) from None
    if on is not None and on != row.is_active:
        endpoints.switch(request.principal, row, on=on)
    return answer(request, EndpointOut.of(_find(request, endpoint_id)))


@operation(router.delete, ONE, "write", None, 404, status=204)
def delete_webhook_endpoint(request: HttpRequest, endpoint_id: UUID) -> HttpResponse:
    """Delete an endpoint with its log."""
    endpoints.remove(request.principal, _find(request, endpoint_id))
    return answer(request, None)


@operation(router.post, ONE + "/rotate-secret", "write", Secret, 404)
@idempotent
def rotate_webhook_secret(request: HttpRequest, endpoint_id: UUID, body: RotateIn) -> HttpResponse:
    """Give it a new secret."""
    row = _find(request, endpoint_id)
    overlap = timedelta(hours=body.overlap_hours)
    secret = endpoints.rotate_secret(request.principal, row, overlap=overlap)
    return answer(request, Secret(secret=secret))


@operation(router.post, ONE + "/test", "write", DeliveryOut, 404, 409)
@idempotent
def test_webhook_endpoint(request: HttpRequest, endpoint_id: UUID) -> HttpResponse:
    """Send it a message that says nothing."""
    row = endpoints.test(request.principal, _find(request, endpoint_id))
    return answer(request, DeliveryOut.of(row))


@operation(router.post, ONE + "/replay", "write", Replayed, 404, 409)
@idempotent
def replay_webhooks(request: HttpRequest, endpoint_id: UUID, body: ReplayIn) -> HttpResponse:
    """Send again what failed in a time."""
    row = _find(request, endpoint_id)
    many = endpoints.replay(request.principal, row, body.since, body.until)
    return answer(request, Replayed(messages=many))


@operation(router.get, ONE + "/deliveries", "read", Page[DeliveryOut], 404)
def list_webhook_deliveries(
    request: HttpRequest, endpoint_id: UUID, asked: Query[AskedDeliveries]
) -> HttpResponse:
    """List what was sent there, newest first."""
    endpoint = _find(request, endpoint_id)
    rows = WebhookDelivery.objects.visible_to(request.principal).filter(endpoint=endpoint)
    rows = rows.select_related("message").defer("message__payload")
    if asked.state:
        rows = rows.filter(state=asked.state)
    return answer(request, Page[DeliveryOut](**page(rows, asked, DeliveryOut.of)))


@operation(router.post, ONE + "/deliveries/{uuid:delivery_id}/send-again", "write", DeliveryOut, 404, 409)
@idempotent
def send_webhook_again(request: HttpRequest, endpoint_id: UUID, delivery_id: UUID) -> HttpResponse:
    """Send one message again, with the same id."""
    rows = WebhookDelivery.objects.visible_to(request.principal).filter(endpoint=_find(request, endpoint_id))
    row = get_object_or_404(rows, pk=delivery_id)
    endpoints.send_again(request.principal, row)
    row.refresh_from_db()
    return answer(request, DeliveryOut.of(row))
