"""The Application Connector Library and an entry's tabs."""

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.text import slugify
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_GET, require_http_methods, require_safe

from connectors import catalogue, registry, releases
from connectors.forms import SettingsForm
from connectors.manifest import json_schema
from connectors.models import ConnectorSettings, completeness
from console.paging import asked_for
from console.tenancy import partner_member

PAGE_SIZE = 50


def _entry(request: HttpRequest, slug: str) -> catalogue.Entry:
    if found := catalogue.entry(request.principal, slug):
        return found
    raise Http404(f"no connector {slug}")


def _settings(request: HttpRequest, connector: registry.Connector) -> ConnectorSettings:
    """The partner's row, or an unsaved one: looking at a page stores nothing."""
    visible = ConnectorSettings.objects.visible_to(request.principal)
    return visible.for_connector(request.principal.partner_id, connector.slug)


@require_safe
@partner_member
def library(request: HttpRequest) -> HttpResponse:
    text = asked_for(request)
    stored = dict(ConnectorSettings.objects.visible_to(request.principal).values_list("connector", "stored"))

    def state_of(connector: registry.Connector) -> str:
        return completeness(connector.manifest, stored.get(connector.slug, {}))

    found = catalogue.search(request.principal, text)
    only, category, way = (request.GET.get(name, "") for name in ("configured", "category", "way"))
    if category:
        found = [entry for entry in found if category in entry.connector.manifest.categories]
    if way:
        found = [entry for entry in found if way in map(slugify, entry.connector.ways)]
    if only == "own":
        found = [entry for entry in found if entry.custom]
    if only in ("complete", "partial", "empty"):
        found = [entry for entry in found if state_of(entry.connector) == only]
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    page.object_list = [(entry, state_of(entry.connector)) for entry in page.object_list]
    return render(
        request,
        "connectors/library.html",
        {
            "page": page,
            "known": len(registry.all()),
            "q": text,
            "only": only,
            "category": category,
            "categories": [(value, registry.category_name(value)) for value in registry.all().categories],
            "way": way,
            "ways": [(slugify(name), name) for name in registry.all().ways],
        },
    )


@require_safe
@partner_member
def overview(request: HttpRequest, slug: str) -> HttpResponse:
    entry = _entry(request, slug)
    connector = entry.connector
    settings = _settings(request, connector)
    return render(
        request,
        "connectors/overview.html",
        {
            "connector": connector,
            "custom": entry.custom,
            "settings": settings,
            "completeness": completeness(connector.manifest, settings.stored),
            "methods": [
                (method, method.key in settings.offered_methods(connector.manifest))
                for method in connector.manifest.auth_methods
            ],
            "tab": "overview",
        },
    )


@require_http_methods(["GET", "HEAD", "POST"])
@partner_member
def settings_tab(request: HttpRequest, slug: str) -> HttpResponse:
    entry = _entry(request, slug)
    connector = entry.connector
    settings = _settings(request, connector)
    form = SettingsForm(
        request.POST if request.method == "POST" else None, manifest=connector.manifest, settings=settings
    )
    if request.method == "POST" and form.is_valid():
        changed = settings.change(request.principal, form.changes(), **form.advanced())
        said = f"The settings of {connector.name} were saved." if changed else "Nothing was changed."
        messages.success(request, said)
        return redirect("connector-settings", slug)
    # Only what the fields lead to; the whole guide has a tab of its own.
    anchors = {anchor for prop in connector.manifest.partner_properties for anchor in prop.help_anchors}
    sections = [
        (section, section.render(redirect_uri=settings.redirect_uri, partner=request.partner.name))
        for section in connector.guide.half("partner")
        if section.anchor in anchors
    ]
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
        },
        status=422 if form.errors else 200,
    )


@require_http_methods(["GET", "HEAD", "POST"])
@partner_member
def remove_value(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    entry = _entry(request, slug)
    connector = entry.connector
    settings = _settings(request, connector)
    if name not in settings.stored:
        raise Http404(f"nothing stored as {name}")
    label = connector.manifest.property_named(name).label
    if request.method == "POST":
        settings.change(request.principal, {name: None})
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
        },
    )


@require_safe
@partner_member
def guide_tab(request: HttpRequest, slug: str) -> HttpResponse:
    entry = _entry(request, slug)
    connector = entry.connector
    settings = _settings(request, connector)
    values = {"redirect_uri": settings.redirect_uri, "partner": request.partner.name}
    halves = [
        (
            "For your company",
            [(section, section.render(**values)) for section in connector.guide.half("partner")],
        ),
        (
            "For your customers, as the setup shows it to them",
            [(section, section.render(**values)) for section in connector.guide.half("customer")],
        ),
    ]
    return render(
        request,
        "connectors/guide.html",
        {"connector": connector, "custom": entry.custom, "halves": halves, "tab": "guide"},
    )


@require_safe
def schema(request: HttpRequest) -> HttpResponse:
    """What a manifest may say, for editors: the format is no secret."""
    return JsonResponse(
        json_schema(), json_dumps_params={"indent": 2}, content_type="application/schema+json"
    )


@require_GET
@cache_control(public=True, max_age=86400)
def logo(request: HttpRequest, slug: str, digest: str) -> HttpResponse:
    """Public: the customer's pages show it too. As an image only, so that no script in it runs."""
    connector = releases.find(slug, digest) or catalogue.draft_of(request.user, slug)
    if connector is None:
        raise Http404(f"no connector {slug}")
    response = HttpResponse(connector.files.logo, content_type="image/svg+xml")
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response
