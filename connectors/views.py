"""The Application Connector Library and an entry's tabs."""

from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.text import slugify
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_GET, require_safe

from connectors import catalogue, registry, releases
from connectors.manifest import json_schema
from connectors.models import ConnectorSettings, completeness
from console.paging import asked_for
from console.tenancy import partner_member

PAGE_SIZE = 50


def entry_of(request: HttpRequest, slug: str) -> catalogue.Entry:
    if found := catalogue.entry(request.principal, slug):
        return found
    raise Http404(f"no connector {slug}")


def settings_of(request: HttpRequest, connector: registry.Connector) -> ConnectorSettings:
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
    entry = entry_of(request, slug)
    connector = entry.connector
    settings = settings_of(request, connector)
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


@require_safe
@partner_member
def guide_tab(request: HttpRequest, slug: str) -> HttpResponse:
    entry = entry_of(request, slug)
    connector = entry.connector
    settings = settings_of(request, connector)
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
