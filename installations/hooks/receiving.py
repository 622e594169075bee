"""POST /hooks/<token>/: a provider's webhook is proven, stored once and told to the partner.

The provider waits, and gives up after seconds: nobody is asked anything here. What it is answered: 200
stored, or here already; 401 not proven; 404 no such address; 410 disconnected, so that it ends the
subscription (Calendly, Asana and Typeform do at once); 413 too large; 429 too many; 503 switched off for now,
so that it tries again.
"""

import re
from hashlib import sha256
from uuid import uuid4

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from connectors.manifest.webhook import Webhook
from console import clock, crypto, throttle
from console.middleware import client_address, network_of
from console.problems import ProblemError
from installations.hooks import forwarding, signatures
from installations.hooks.signatures import Incoming, Refused
from installations.models import HELD, HookAddress, Installation, ReceivedWebhook, Status
from installations.values import at

# Bytes of a body.
LIMIT = 1024 * 1024
# Of one address: providers send in bursts, and try again where they are told to.
PER_MINUTE = 600
# Of one network, for tokens that nobody has.
UNKNOWN_PER_MINUTE = 20
# A secret that comes in a header and goes back in one.
_HANDED_OVER = re.compile(r"[A-Za-z0-9._~+/=-]{8,512}")


@csrf_exempt
@require_POST
def receive(request: HttpRequest, token: str) -> HttpResponse:
    known = HookAddress.objects.select_related("installation__account", "installation__partner")
    address = known.filter(token_digest=crypto.digest(token)).first()
    try:
        if address is None:
            throttle.spend(f"hook:{network_of(client_address(request))}", per_minute=UNKNOWN_PER_MINUTE)
            return _say(404, "There is no such address.")
        throttle.spend(f"hook:{address.pk}", per_minute=PER_MINUTE)
    except ProblemError:
        return _say(429, "Too many requests.", **{"Retry-After": "60"})
    row = address.installation
    if address.ended_at or row.status == Status.DISCONNECTED:
        return _say(410, "This installation was disconnected.")
    connector = row.definition
    webhook = connector and connector.manifest.webhook
    if webhook is None or row.status not in HELD or row.disabled_at or not row.partner.is_active:
        return _say(503, "Switched off at the moment.", **{"Retry-After": "3600"})
    body = _read(request)
    if body is None:
        return _say(413, f"More than {LIMIT} bytes.")
    # Some providers sign the address as well: as it was shown, whatever host the request names.
    incoming = Incoming(request.method, settings.BASE_URL + request.path, request.headers, body)
    try:
        return _beginning(address, webhook, incoming) or _take(address, row, webhook, incoming)
    except Refused as refused:
        address.refuse(refused.code)
        return _say(401, "This request is not signed as it should be.")


def _read(request: HttpRequest) -> bytes | None:
    """The body; None where it is too long, and then no more is read than shows that."""
    if int(request.META.get("CONTENT_LENGTH") or 0) > LIMIT:
        return None
    body = request.read(LIMIT + 1)
    return None if len(body) > LIMIT else body


def _say(status: int, text: str, **headers: str) -> HttpResponse:
    return HttpResponse(f"{text}\n", status=status, content_type="text/plain; charset=utf-8", headers=headers)


def _beginning(address: HookAddress, webhook: Webhook, incoming: Incoming) -> HttpResponse | None:
    """The answer to what comes before there is anything to sign with, or None. Raises Refused."""
    challenge = webhook.challenge
    if challenge and challenge.type == "handshake" and (given := incoming.headers.get(challenge.header)):
        if not _HANDED_OVER.fullmatch(given) or not address.agree_on(given):
            raise Refused("handshake_again")
        return _say(200, "Agreed.", **{challenge.header: given})
    is_ping = challenge and challenge.type == "ping" and webhook.signature.header not in incoming.headers
    if is_ping and re.fullmatch(rf"{re.escape(challenge.field)}=[A-Za-z0-9]*".encode(), incoming.body):
        return _say(200, "Here.")
    return None


def _take(address: HookAddress, row: Installation, webhook: Webhook, incoming: Incoming) -> HttpResponse:
    """Store what is proven, and let the partner be told in the same transaction. Raises Refused."""
    if not address.has_secret:
        raise Refused("secret_missing")
    now = clock.now()
    signed = signatures.verify(webhook, incoming, address.secret, now)
    content = signatures.read_json(incoming.body)
    challenge = webhook.challenge
    if challenge and challenge.type == "echo" and at(content, challenge.path) == challenge.value:
        return _say(200, str(at(content, challenge.answer))[:1000])
    delivery_id = signatures.found(webhook.delivery_id, incoming, content)
    name = b"id " + delivery_id.encode() if delivery_id else b"signed " + signed
    received = ReceivedWebhook(
        id=uuid4(),
        partner_id=row.partner_id,
        installation=row,
        received_at=now,
        event_type=signatures.found(webhook.event_type, incoming, content)[:200],
        delivery_id=delivery_id[:200],
        delivery_digest=sha256(name).hexdigest(),
        content_type=incoming.headers.get("Content-Type", "")[:200],
        size=len(incoming.body),
        body=ReceivedWebhook.sealed_form(incoming.body),
    )
    with transaction.atomic():
        if not ReceivedWebhook.keep(received):
            return _say(200, "Here already.")
        forwarding.forward(received, row)
    return _say(200, "Received.")
