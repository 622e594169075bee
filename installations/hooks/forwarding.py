"""Telling the partner's own software what a provider sent, and throwing it away after a while."""

import json
from datetime import timedelta
from typing import Any

from django.db import transaction

from console import clock
from console.models import Event
from console.tenancy import Principal
from console.tidying import daily, throw_away
from installations.models import Installation, ReceivedWebhook
from installations.webhooks import outbox

# Bytes of a body that goes along as JSON; a longer one is to be fetched.
BODY_LIMIT = 15_000
# What is nested deeper goes along as text: not everybody's JSON reads it.
DEPTH_LIMIT = 50
KEEP = timedelta(days=30)


def forward(received: ReceivedWebhook, installation: Installation) -> bool:
    """Let the partner's endpoints be told; False where none wants it. Within a transaction."""
    message = outbox.announce(
        "webhook.received",
        partner_id=received.partner_id,
        installation=installation,
        data={
            "webhook_id": str(received.pk),
            "event_type": received.event_type or None,
            "delivery_id": received.delivery_id or None,
            "received_at": received.received_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "content_type": received.content_type or None,
            "size": received.size,
            "webhook_path": f"/api/v1/installations/{installation.pk}/webhooks/{received.pk}",
            **_body(received),
        },
    )
    if message:
        received.forwarded(message.pk)
    return message is not None


def forward_again(received: ReceivedWebhook, installation: Installation, principal: Principal) -> bool:
    """Tell it once more, as a new message, because somebody wants it; False where no endpoint does."""
    with transaction.atomic():
        told = forward(received, installation)
        if told:
            Event.objects.record(
                "webhook.forwarded", principal, "A webhook was forwarded again", subject=installation
            )
    return told


def _body(received: ReceivedWebhook) -> dict[str, Any]:
    """The body, where it is short and text: JSON as it is, other text as a string."""
    text = received.body.get("text")
    if text is None:
        return {"body": None, "body_left_out": "not_text"}
    for body in (_json(text), text):
        if body is not None and len(json.dumps(body, ensure_ascii=False).encode()) <= BODY_LIMIT:
            return {"body": body}
    return {"body": None, "body_left_out": "too_large"}


def _json(text: str) -> Any:
    """The text as JSON that can be written again; None where it is none."""
    try:
        content = json.loads(text, parse_constant=_refuse)
        # Half a character may be escaped in JSON, and cannot be written in UTF-8.
        json.dumps(content, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return None if _is_deep(content) else content


def _is_deep(content: Any) -> bool:
    level = [content]
    for _ in range(DEPTH_LIMIT):
        lists = [part.values() if isinstance(part, dict) else part for part in level if _holds_parts(part)]
        level = [part for parts in lists for part in parts]
    return bool(level)


def _holds_parts(content: Any) -> bool:
    return isinstance(content, dict | list)


def _refuse(name: str):
    raise ValueError(f"{name} is no JSON")


@daily
def forget_old_webhooks() -> None:
    throw_away(ReceivedWebhook.objects.filter(received_at__lt=clock.now() - KEEP))
