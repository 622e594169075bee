"""A draft is tried out as a customer would meet it: in an account for that, through the same wizard."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from connectors import catalogue, releases
from connectors.models import ConnectorSettings, CustomConnector
from console.models import Account, Event
from console.tenancy import partner_member
from installations import connecting, ending
from installations.models import Installation, Setup

ACCOUNT = {"external_id": "try-outs", "name": "Try-outs"}


def _own(request: HttpRequest, slug: str) -> CustomConnector:
    entry = catalogue.entry(request.principal, slug)
    if entry is None or entry.custom is None:
        raise Http404(f"no connector {slug}")
    return entry.custom


@require_POST
@partner_member
def try_out(request: HttpRequest, slug: str) -> HttpResponse:
    """Begin the setup of the draft, anew each time: a draft that has changed is another connector."""
    custom = _own(request, slug)
    if custom.fault:
        messages.error(request, "The definition cannot be read any more. Mend it first.")
        return redirect("connector-definition", slug)
    account, _ = Account.objects.visible_to(request.principal).get_or_create(
        external_id=ACCOUNT["external_id"], defaults={**ACCOUNT, "partner": request.partner}
    )
    tried = Installation.objects.visible_to(request.principal).filter(connector=slug, is_tryout=True)
    row = tried.first() or Installation(
        partner=request.partner, account=account, connector=slug, name="Try-out", is_tryout=True
    )
    row.release_id = releases.keep(custom.draft)
    row.save()
    Setup.objects.visible_to(request.principal).filter(installation=row, finished_at=None).delete()
    connecting.begin(row, request.principal)
    Event.objects.record(
        "connector.tried", request.principal, f"{custom.draft.name} is tried out", subject=custom
    )
    return redirect("installation-setup-start", row.pk)


@require_http_methods(["GET", "HEAD", "POST"])
@partner_member
def delete_connector(request: HttpRequest, slug: str) -> HttpResponse:
    """With its draft, its settings and its try-outs; not while a customer has it."""
    custom = _own(request, slug)
    installed = Installation.objects.visible_to(request.principal).filter(connector=slug)
    customers = installed.filter(is_tryout=False).count()
    if request.method == "POST" and not customers:
        name = custom.draft.name
        for row in installed:
            ending.remove(row, request.principal)
        ConnectorSettings.objects.visible_to(request.principal).filter(connector=slug).delete()
        Event.objects.record(
            "connector.deleted", request.principal, f"The connector {name} was deleted", subject=custom
        )
        custom.delete()
        messages.success(request, f"{name} was deleted.")
        return redirect("library")
    context = {"custom": custom, "connector": custom.draft, "customers": customers}
    return render(request, "connectors/authoring/delete.html", context)
