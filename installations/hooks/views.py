"""The pages of what a provider sends: the address to register, the secret, and what came."""

from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from connectors.manifest.webhook import Webhook
from console.paging import LongPaginator
from console.tenancy import Principal, partner_member
from installations.ending import name_of
from installations.hooks import addresses, forwarding
from installations.models import HookAddress, Installation, ReceivedWebhook, WebhookDelivery

PAGE_SIZE = 50
# On the installation's own page.
LATEST = 5


class SecretForm(forms.Form):
    """Write-only: what is stored is never shown, and only another one takes its place."""

    secret = forms.CharField(
        max_length=500,
        strip=True,
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "off"}),
    )

    def __init__(self, *args, webhook: Webhook, required: bool = True, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["secret"].required = required
        self.fields["secret"].label = webhook.secret.label
        self.fields["secret"].help_text = webhook.secret.description


def summary(installation: Installation, principal: Principal) -> dict | None:
    """What the installation's page says of webhooks; None where its connector declares none."""
    webhook = addresses.declared(installation)
    if webhook is None:
        return None
    address = HookAddress.objects.visible_to(principal).filter(installation=installation).first()
    rows = ReceivedWebhook.objects.visible_to(principal).filter(installation=installation).defer("body")
    return {
        "webhook": webhook,
        "address": address,
        "latest": rows[:LATEST],
        "may_begin": addresses.may_begin(installation),
    }


def _declared(request: HttpRequest, installation_id: UUID) -> tuple[Installation, dict]:
    """The installation, and what its page says of webhooks. Raises Http404 where there are none."""
    rows = Installation.objects.visible_to(request.principal).select_related("account", "partner")
    row = get_object_or_404(rows, pk=installation_id)
    found = summary(row, request.principal)
    if found is None:
        raise Http404(f"{row.connector} declares no webhooks")
    return row, {"installation": row, "connector": row.definition, "name": name_of(row), **found}


@require_safe
@partner_member
def received(request: HttpRequest, installation_id: UUID) -> HttpResponse:
    row, context = _declared(request, installation_id)
    rows = ReceivedWebhook.objects.visible_to(request.principal).filter(installation=row).defer("body")
    context["page"] = LongPaginator(rows, PAGE_SIZE).get_page(request.GET.get("page"))
    return render(request, "installations/hooks/list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@partner_member
def make_address(request: HttpRequest, installation_id: UUID) -> HttpResponse:
    """Make the address, or another one. It is shown once, in the answer to this very request."""
    row, context = _declared(request, installation_id)
    if not context["may_begin"]:
        messages.error(request, "Only what is connected and switched on can be sent something.")
        return redirect("installation", row.pk)
    webhook, before = context["webhook"], context["address"]
    form = SecretForm(request.POST if request.method == "POST" else None, webhook=webhook, required=False)
    if request.method != "POST" or not form.is_valid():
        status = 422 if form.errors else 200
        return render(request, "installations/hooks/address.html", {**context, "form": form}, status=status)
    made = addresses.make(row, webhook, before, form.cleaned_data["secret"], request.principal)
    context |= made._asdict()
    return render(request, "installations/hooks/made.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@partner_member
def enter_secret(request: HttpRequest, installation_id: UUID) -> HttpResponse:
    row, context = _declared(request, installation_id)
    address, webhook = context["address"], context["webhook"]
    if not addresses.expects_secret(webhook, address):
        raise Http404("no secret is expected")
    form = SecretForm(request.POST if request.method == "POST" else None, webhook=webhook)
    if request.method == "POST" and form.is_valid():
        addresses.store_secret(address, webhook, form.cleaned_data["secret"], request.principal)
        messages.success(request, f"The {webhook.secret.label} was stored.")
        return redirect("installation-webhooks", row.pk)
    context["form"] = form
    return render(request, "installations/hooks/secret.html", context, status=422 if form.errors else 200)


def _received(request: HttpRequest, row: Installation, received_id: UUID) -> ReceivedWebhook:
    rows = ReceivedWebhook.objects.visible_to(request.principal).filter(installation=row)
    return get_object_or_404(rows, pk=received_id)


@require_safe
@partner_member
def one(request: HttpRequest, installation_id: UUID, received_id: UUID) -> HttpResponse:
    row, context = _declared(request, installation_id)
    context["received"] = found = _received(request, row, received_id)
    told = WebhookDelivery.objects.visible_to(request.principal).filter(message=found.message_id)
    context["deliveries"] = told.select_related("endpoint").only("endpoint__url", "endpoint__description")
    return render(request, "installations/hooks/received.html", context)


@require_POST
@partner_member
def forward_again(request: HttpRequest, installation_id: UUID, received_id: UUID) -> HttpResponse:
    row, _ = _declared(request, installation_id)
    found = _received(request, row, received_id)
    if forwarding.forward_again(found, row, request.principal):
        messages.success(request, "It is on its way to your endpoints again.")
    else:
        messages.error(request, "None of your endpoints takes webhook.received, so it stays here.")
    return redirect("installation-webhook", row.pk, found.pk)
