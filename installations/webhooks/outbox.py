"""The outbox: what happened is written together with it, or not at all."""

import json
from uuid import UUID

from django.db import connection, transaction

from console import clock
from console.models import Account
from installations.models import Installation, WebhookDelivery, WebhookEndpoint, WebhookMessage
from installations.webhooks import delivery
from installations.webhooks.types import TYPES

# Bytes of a body. Standard Webhooks advises to stay below 20 kB.
LIMIT = 20_000


class TooLarge(ValueError):
    """The body would be longer than anybody has to expect."""


def announce(
    type: str,
    *,
    partner_id: UUID | None = None,
    data: dict | None = None,
    installation: Installation | None = None,
    account: Account | None = None,
) -> WebhookMessage | None:
    """Let the partner's endpoints that want it be told; None where there are none.

    Call it within the transaction that changes the state; the partner is the installation's, where none is
    given. `data` holds ids and states, never a token, and goes before what is said of the installation as it
    stands in memory. Try-outs are told nobody. Raises TooLarge.
    """
    if type not in TYPES:
        raise ValueError(type)
    if not connection.in_atomic_block:
        raise RuntimeError("what is announced must be written with what happened")
    if installation and installation.is_tryout:
        return None
    partner_id = partner_id or installation.partner_id
    rows = WebhookEndpoint.objects.filter(partner_id=partner_id, disabled_at=None).only("types")
    endpoints = [row for row in rows if row.wants(type)]
    if not endpoints:
        return None
    account = account or (installation and installation.account)
    return write(
        type,
        partner_id,
        endpoints,
        {**(_facts(installation) if installation else {}), **_of(account), **(data or {})},
        installation_id=installation and installation.pk,
        account_id=account and account.pk,
    )


def _facts(installation: Installation) -> dict:
    return {
        "installation_id": str(installation.pk),
        "connector": installation.connector,
        "state": installation.state,
        "problem": installation.problem or None,
        "external_account_id": installation.external_account_id or None,
    }


def _of(account: Account | None) -> dict:
    if account is None:
        return {}
    return {"account_id": str(account.pk), "account_external_id": account.external_id or None}


def write(
    type: str, partner_id: UUID, endpoints: list[WebhookEndpoint], data: dict, **facts
) -> WebhookMessage:
    """A message, and what is to bring it to each of these endpoints. Raises TooLarge."""
    now = clock.now()
    stamp = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    body = json.dumps({"type": type, "timestamp": stamp, "data": data}, ensure_ascii=False)
    if len(body.encode()) > LIMIT:
        raise TooLarge(type)
    message = WebhookMessage.objects.create(
        partner_id=partner_id, type=type, payload=body, occurred_at=now, **facts
    )
    WebhookDelivery.objects.bulk_create(
        WebhookDelivery(
            partner_id=partner_id, message=message, endpoint=endpoint, next_at=now, created_at=now
        )
        for endpoint in endpoints
    )
    ids = [endpoint.pk for endpoint in endpoints]
    # Not within: those who tell the same endpoint at once would wait for each other. What is lost between
    # the commit and this is found by the sweep.
    transaction.on_commit(lambda: delivery.begin(partner_id, ids), robust=True)
    return message
