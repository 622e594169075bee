"""Where a partner's own software is told what happens, and what came of it."""

import json
from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from console import clock
from console.models import Account
from console.paging import LongPaginator, asked_for
from console.problems import ProblemError
from console.tenancy import partner_member
from installations.models import (
    DeliveryState,
    Installation,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookMessage,
)
from installations.views import named
from installations.webhooks import endpoints
from installations.webhooks.forms import EndpointForm, ReplayForm, RotateForm
from installations.webhooks.types import REASONS, WHY

PAGE_SIZE = 50
# So long the page of a delivery looks by itself what came of it.
AWAITED = timedelta(seconds=20)


def _endpoint(request: HttpRequest, endpoint_id: UUID) -> WebhookEndpoint:
    rows = WebhookEndpoint.objects.visible_to(request.principal).defer("secret", "previous_secret")
    row = get_object_or_404(rows, pk=endpoint_id)
    row.reason = REASONS.get(row.disabled_reason, "")
    return row


@require_safe
@partner_member
def webhooks(request: HttpRequest) -> HttpResponse:
    rows = list(WebhookEndpoint.objects.visible_to(request.principal).defer("secret", "previous_secret"))
    for row in rows:
        row.reason = REASONS.get(row.disabled_reason, "")
    return render(request, "installations/webhooks/list.html", {"endpoints": rows})


@require_http_methods(["GET", "HEAD", "POST"])
@partner_member
def add(request: HttpRequest) -> HttpResponse:
    """The secret is shown once, in the answer to this very request."""
    form = EndpointForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        new = form.cleaned_data["id"]
        if WebhookEndpoint.objects.visible_to(request.principal).filter(pk=new).exists():
            messages.info(request, "That endpoint was added already. Its secret is shown only once.")
            return redirect("webhook", new)
        try:
            row, secret = endpoints.create(request.principal, id=new, **form.endpoint_fields())
        except ValidationError as error:
            form.add_error(None, error)
        else:
            return _shown(request, row, secret)
    context = {"form": form}
    return render(request, "installations/webhooks/form.html", context, status=422 if form.errors else 200)


def _shown(request: HttpRequest, row: WebhookEndpoint, secret: str, **context) -> HttpResponse:
    context |= {"endpoint": row, "secret": secret}
    return render(request, "installations/webhooks/secret.html", context)


@require_safe
@partner_member
def webhook(request: HttpRequest, endpoint_id: UUID) -> HttpResponse:
    row = _endpoint(request, endpoint_id)
    state = asked_for(request, "state")
    rows = WebhookDelivery.objects.visible_to(request.principal).filter(endpoint=row)
    if state in DeliveryState.values:
        rows = rows.filter(state=state)
    columns = [
        *("message__type", "message__installation_id", "message__account_id"),
        *("state", "status", "attempts", "tries", "next_at", "created_at"),
    ]
    pages = LongPaginator(rows, PAGE_SIZE, joined=["message"], columns=columns)
    page = pages.get_page(request.GET.get("page"))
    _say_about(request, page.object_list)
    failed = WebhookDelivery.objects.visible_to(request.principal).filter(
        endpoint=row, state=DeliveryState.FAILED
    )
    context = {
        "endpoint": row,
        "page": page,
        "has_failed": failed.exists(),
        "state": state if state in DeliveryState.values else "",
        "states": DeliveryState.choices,
        "replay": ReplayForm(),
        "overlap": row.previous_until if row.previous_until and row.previous_until > clock.now() else None,
    }
    return render(request, "installations/webhooks/detail.html", context)


def _say_about(request: HttpRequest, deliveries: Iterable[WebhookDelivery]) -> None:
    """Give each the account and the connector that it is about, as far as they are still there."""
    messages = [row.message for row in deliveries]
    installed = Installation.objects.visible_to(request.principal).of_partner(
        request.principal, list({message.installation_id for message in messages} - {None})
    )
    named(installed.values())
    accounts = Account.objects.visible_to(request.principal).in_bulk(
        {message.account_id for message in messages} - {None}
    )
    gone = [message.pk for message in messages if message.installation_id not in {*installed, None}]
    kept = WebhookMessage.objects.visible_to(request.principal).filter(pk__in=gone) if gone else ()
    told = {message.pk: json.loads(message.payload)["data"] for message in kept}
    for row in deliveries:
        installation = installed.get(row.message.installation_id)
        row.account = accounts.get(row.message.account_id)
        said = told.get(row.message_id, {}).get("connector", "")
        row.connector_name = installation.connector_name if installation else said


@require_http_methods(["GET", "HEAD", "POST"])
@partner_member
def edit(request: HttpRequest, endpoint_id: UUID) -> HttpResponse:
    row = _endpoint(request, endpoint_id)
    form = EndpointForm(request.POST if request.method == "POST" else None, instance=row)
    if request.method == "POST" and form.is_valid():
        endpoints.change(request.principal, row, **form.endpoint_fields())
        messages.success(request, "Saved.")
        return redirect("webhook", row.pk)
    context = {"form": form, "endpoint": row}
    return render(request, "installations/webhooks/form.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@partner_member
def rotate(request: HttpRequest, endpoint_id: UUID) -> HttpResponse:
    row = _endpoint(request, endpoint_id)
    form = RotateForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        overlap = form.cleaned_data["overlap"]
        secret = endpoints.rotate_secret(request.principal, row, overlap=overlap)
        row = _endpoint(request, endpoint_id)
        return _shown(request, row, secret, rotated=True, until=row.previous_until if overlap else None)
    until = row.previous_until if row.previous_until and row.previous_until > clock.now() else None
    context = {"endpoint": row, "form": form, "until": until}
    return render(request, "installations/webhooks/rotate.html", context, status=422 if form.errors else 200)


@require_POST
@partner_member
def switch(request: HttpRequest, endpoint_id: UUID) -> HttpResponse:
    row, on = _endpoint(request, endpoint_id), "on" in request.POST
    endpoints.switch(request.principal, row, on=on)
    waits = "Switched on. What still waited is sent now." if on else "Switched off. Nothing is told there."
    messages.success(request, waits)
    return redirect("webhook", row.pk)


@require_http_methods(["GET", "HEAD", "POST"])
@partner_member
def delete(request: HttpRequest, endpoint_id: UUID) -> HttpResponse:
    row = _endpoint(request, endpoint_id)
    if request.method == "POST":
        endpoints.remove(request.principal, row)
        messages.success(request, "The endpoint was deleted.")
        return redirect("webhooks")
    return render(request, "installations/webhooks/delete.html", {"endpoint": row})


@require_POST
@partner_member
def test(request: HttpRequest, endpoint_id: UUID) -> HttpResponse:
    row = _endpoint(request, endpoint_id)
    try:
        made = endpoints.test(request.principal, row)
    except ProblemError as error:
        messages.error(request, error.sentence())
        return redirect("webhook", row.pk)
    return redirect("webhook-delivery", made.pk)


@require_POST
@partner_member
def replay(request: HttpRequest, endpoint_id: UUID) -> HttpResponse:
    row, form = _endpoint(request, endpoint_id), ReplayForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Choose how far back.")
        return redirect("webhook", row.pk)
    try:
        count = endpoints.replay(request.principal, row, clock.now() - form.cleaned_data["since"])
    except ProblemError as error:
        messages.error(request, error.sentence())
    else:
        number = "One message is" if count == 1 else f"{count} messages are"
        messages.success(request, f"{number} sent again." if count else "Nothing failed in that time.")
    return redirect("webhook", row.pk)


def _delivery(request: HttpRequest, delivery_id: UUID) -> WebhookDelivery:
    rows = WebhookDelivery.objects.visible_to(request.principal).select_related("message", "endpoint")
    return get_object_or_404(rows, pk=delivery_id)


@require_safe
@partner_member
def delivery(request: HttpRequest, delivery_id: UUID) -> HttpResponse:
    row = _delivery(request, delivery_id)
    about = row.message.installation_id
    visible = Installation.objects.visible_to(request.principal).select_related("account").defer("values")
    tries = [
        {**entry, "at": parse_datetime(entry["at"]), "why": WHY.get(entry["problem"], "")}
        for entry in reversed(row.tries)
    ]
    # Within a moment there is something to see.
    is_under_way = row.next_at and row.endpoint.is_active and row.next_at <= clock.now()
    context = {
        "delivery": row,
        "endpoint": row.endpoint,
        "payload": json.dumps(json.loads(row.message.payload), indent=2, ensure_ascii=False),
        "tries": tries,
        "installation": visible.filter(pk=about).first() if about else None,
        "is_under_way": is_under_way,
        "is_awaited": is_under_way and clock.now() < row.next_at + AWAITED,
        "state": row.get_state_display(),
    }
    return render(request, "installations/webhooks/delivery.html", context)


@require_POST
@partner_member
def send_again(request: HttpRequest, delivery_id: UUID) -> HttpResponse:
    row = _delivery(request, delivery_id)
    try:
        endpoints.send_again(request.principal, row)
    except ProblemError as error:
        messages.error(request, error.sentence())
    return redirect("webhook-delivery", row.pk)
