"""A connector's Settings tab: the OAuth client that the partner registered, and who lives by it."""

import base64
import binascii
from datetime import timedelta

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_http_methods, require_POST

from connectors.catalogue import Entry
from connectors.forms import SettingsForm
from connectors.models import ConnectorSettings
from connectors.views import entry_of, settings_of
from console import clock, crypto
from console.paging import LongPaginator
from console.tenancy import partner_member
from installations import clients, incident

PAGE_SIZE = 50
# Nobody looks through more; they need not be counted.
COUNTED = 1000
# So long a confirmation waits for its answer.
ANSWERED_WITHIN = timedelta(minutes=10)


@require_http_methods(["GET", "HEAD", "POST"])
@partner_member
def settings_tab(request: HttpRequest, slug: str) -> HttpResponse:
    entry = entry_of(request, slug)
    connector = entry.connector
    settings = settings_of(request, connector)
    confirmed = _reopened(request, settings)
    if "confirmed" in request.POST and confirmed is None:
        messages.error(request, "Nothing was saved: the answer took too long. Enter the values once more.")
        return redirect("connector-settings", slug)
    sent = (confirmed or request.POST) if request.method == "POST" else None
    form = SettingsForm(sent, manifest=connector.manifest, settings=settings)
    if request.method == "POST" and form.is_valid():
        lost = clients.would_lose(request.principal, connector.manifest, settings, form.changes())
        if lost and not confirmed:
            return _ask_first(request, entry, settings, form, lost)
        changed = clients.change(
            request.principal,
            settings,
            form.changes(),
            client=connector.manifest.client_properties,
            overlap=form.overlap,
            **form.advanced(),
        )
        said = f"The settings of {connector.name} were saved." if changed else "Nothing was changed."
        messages.success(request, said)
        return redirect("connector-consents" if lost else "connector-settings", slug)
    # Only what the fields lead to; the whole guide has a tab of its own.
    anchors = {anchor for prop in connector.manifest.partner_properties for anchor in prop.help_anchors}
    sections = [
        (section, section.render(redirect_uri=settings.redirect_uri, partner=request.partner.name))
        for section in connector.guide.half("partner")
        if section.anchor in anchors
    ]
    earlier = clients.of_an_earlier_one(request.principal, connector.manifest, settings)
    return render(
        request,
        "connectors/settings.html",
        {
            "connector": connector,
            "custom": entry.custom,
            "settings": settings,
            "form": form,
            "sections": sections,
            "tab": "settings",
            "used_by": clients.used_by(request.principal, connector.manifest, settings),
            "earlier": earlier[:COUNTED].count(),
            "connected": incident.affected(request.principal.partner_id, slug).exists(),
            "overlap_until": bool(settings.previous_clients(clock.now())) and settings.previous_until,
        },
        status=422 if form.errors else 200,
    )


def _ask_first(
    request: HttpRequest, entry: Entry, settings: ConnectorSettings, form: SettingsForm, lost: int
) -> HttpResponse:
    """What was entered waits in the page for the answer, sealed: a secret is never shown again."""
    kept = {"sent": request.POST.urlencode(), "at": clock.now().isoformat()}
    sealed = base64.b64encode(crypto.seal(kept, _context(settings))).decode()
    context = {
        "connector": entry.connector,
        "custom": entry.custom,
        "tab": "settings",
        "lost": lost,
        "overlap": form.overlap,
        "sealed": sealed,
    }
    return render(request, "connectors/new_client.html", context)


def _context(settings: ConnectorSettings) -> crypto.Context:
    return crypto.Context("connectors.settings", "unconfirmed", str(settings.partner_id), str(settings.pk))


def _reopened(request: HttpRequest, settings: ConnectorSettings) -> QueryDict | None:
    """What waited for the confirmation that is given now; None where none is, or where it is too late."""
    try:
        kept = crypto.unseal(
            base64.b64decode(request.POST.get("confirmed", ""), validate=True), _context(settings)
        )
    except (crypto.CannotOpen, binascii.Error, ValueError):
        return None
    is_late = clock.now() - parse_datetime(kept["at"]) > ANSWERED_WITHIN
    return None if is_late else QueryDict(kept["sent"])


@require_http_methods(["GET", "HEAD", "POST"])
@partner_member
def remove_value(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    entry = entry_of(request, slug)
    connector = entry.connector
    settings = settings_of(request, connector)
    if name not in settings.stored:
        raise Http404(f"nothing stored as {name}")
    label = connector.manifest.property_named(name).label
    if request.method == "POST":
        client = connector.manifest.client_properties
        clients.change(request.principal, settings, {name: None}, client=client)
        messages.success(request, f"The {label} was removed. It is now asked for at every installation.")
        return redirect("connector-settings", slug)
    return render(
        request,
        "connectors/remove_value.html",
        {
            "connector": connector,
            "custom": entry.custom,
            "label": label,
            "stored": settings.stored[name],
            "tab": "settings",
            "lost": clients.would_lose(request.principal, connector.manifest, settings, {name: None}),
        },
    )


@require_POST
@partner_member
def end_overlap(request: HttpRequest, slug: str) -> HttpResponse:
    """From now on nothing is done with the OAuth client before today's."""
    settings = settings_of(request, entry_of(request, slug).connector)
    if settings.end_overlap(request.principal):
        messages.success(request, "What was stored before no longer counts.")
    return redirect("connector-settings", slug)


@require_http_methods(["GET", "HEAD", "POST"])
@partner_member
def consents(request: HttpRequest, slug: str) -> HttpResponse:
    """Who must authorise again, since the partner has another OAuth client now; links to all of them."""
    entry = entry_of(request, slug)
    connector = entry.connector
    settings = settings_of(request, connector)
    if request.method == "POST":
        clients.send_links(request.principal, settings)
        messages.success(request, "A link is on its way to everybody whose address is known.")
        return redirect("connector-consents", slug)
    rows = clients.of_an_earlier_one(request.principal, connector.manifest, settings)
    page = LongPaginator(rows, PAGE_SIZE, joined=["account"], at_most=COUNTED).get_page(
        request.GET.get("page")
    )
    clients.with_addresses(page.object_list)
    return render(
        request,
        "connectors/consents.html",
        {
            "connector": connector,
            "custom": entry.custom,
            "tab": "settings",
            "page": page,
            "overlap_until": bool(settings.previous_clients(clock.now())) and settings.previous_until,
        },
    )


@require_http_methods(["GET", "HEAD", "POST"])
@partner_member
def disconnect_all(request: HttpRequest, slug: str) -> HttpResponse:
    """For an incident: end every access that this connector's installations hold, and see how far it is."""
    entry = entry_of(request, slug)
    name, partner_id = entry.connector.name, request.principal.partner_id
    typed = request.POST.get("name", "").strip()
    if request.method == "POST" and typed == name:
        if not incident.begin(request.principal, slug):
            messages.info(request, "Nothing is connected.")
        return redirect("connector-disconnect-all", slug)
    progress = incident.progress(partner_id, slug)
    response = render(
        request,
        "connectors/disconnect_all.html",
        {
            "connector": entry.connector,
            "custom": entry.custom,
            "tab": "settings",
            "connected": incident.affected(partner_id, slug).count(),
            "progress": progress,
            "typed": typed,
        },
        status=422 if request.method == "POST" else 200,
    )
    if progress and progress.left:
        # Seconds, until the page is loaded anew.
        response["Refresh"] = "3"
    return response
