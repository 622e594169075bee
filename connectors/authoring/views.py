"""A partner makes a connector of its own, changes it, and publishes it."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from connectors import catalogue, logo, registry, samples
from connectors.authoring import drafts, folder, metadata, openapi
from connectors.authoring.beginning import begin
from connectors.authoring.documents import BadDocument
from connectors.authoring.forms import (
    BlankForm,
    DefinitionForm,
    FolderForm,
    ManifestForm,
    MetadataForm,
    OpenApiForm,
    PublishForm,
    read_file,
)
from connectors.forms import PropertiesForm
from connectors.manifest import BadManifest
from connectors.models import Publication
from connectors.registry import CUSTOM, Connector, Files
from console import throttle
from console.problems import ProblemError
from console.tenancy import partner_member

GET_AND_POST = require_http_methods(["GET", "HEAD", "POST"])


@require_safe
@partner_member
def add(request: HttpRequest) -> HttpResponse:
    return render(request, "connectors/authoring/add.html")


def _from_blank(form: BlankForm) -> tuple[str, Files]:
    return form.cleaned_data["name"], form.sketch().files()


def _from_manifest(form: ManifestForm) -> tuple[str, Files]:
    said = form.cleaned_data
    files = _files(form, b"")
    return registry.made(CUSTOM + (said["key"] or "connector"), files).name, files


def _from_folder(form: FolderForm) -> tuple[str, Files, dict[str, str]]:
    return folder.unpack(read_file(form.cleaned_data["archive"]))


def _from_openapi(form: OpenApiForm) -> tuple[str, Files]:
    said = form.cleaned_data
    sketch = openapi.read(form.content(), url=said["url"], base_url=said["base_url"])
    sketch.categories = [said["category"]]
    return sketch.name, sketch.files()


def _from_metadata(form: MetadataForm) -> tuple[str, Files]:
    said = form.cleaned_data
    found = metadata.fetch(said["issuer"])
    sketch = metadata.read(found, name=said["name"], base_url=said["base_url"])
    sketch.categories = [said["category"]]
    return sketch.name, sketch.files()


# What a connector can be made of: the form, and how it becomes a name, the files, and perhaps samples.
SOURCES = {
    "form": (BlankForm, _from_blank, "Describe it in a form"),
    "manifest": (ManifestForm, _from_manifest, "Write the manifest"),
    "openapi": (OpenApiForm, _from_openapi, "From an OpenAPI document"),
    "metadata": (MetadataForm, _from_metadata, "From an authorization server"),
    "folder": (FolderForm, _from_folder, "Import a folder"),
}


@GET_AND_POST
@partner_member
def add_from(request: HttpRequest, source: str) -> HttpResponse:
    if source not in SOURCES:
        raise Http404(f"no source {source}")
    form_class, made_of, title = SOURCES[source]
    initial = dict(zip(("manifest", "guide"), begin("acme"), strict=True)) if source == "manifest" else None
    form = form_class(*((request.POST, request.FILES) if request.method == "POST" else ()), initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            # Each may ask a server elsewhere.
            throttle.spend(f"author:{request.principal.partner_id}", per_minute=20)
            name, files, *texts = made_of(form)
            row = drafts.create(request.principal, form.key_of(name), files, *texts)
        except (BadDocument, BadManifest, ValidationError) as error:
            _say(form, error)
        except ProblemError as error:
            form.add_error(None, error.sentence(connector="", partner=request.partner.name))
        else:
            messages.success(
                request,
                f"{row.draft.name} is there as a draft. Your customers see it once you publish it.",
            )
            return redirect("connector-definition", row.slug)
    status = 422 if form.errors else 200
    context = {"form": form, "title": title, "source": source, "checked": _checked(form, source)}
    return render(request, "connectors/authoring/add_from.html", context, status=status)


def _say(form, error: Exception) -> None:
    """What is wrong, each fault on a line of its own."""
    lines = error.messages if isinstance(error, ValidationError) else str(error).splitlines()
    for line in lines:
        form.add_error(None, line.removeprefix("manifest.toml: ") if len(lines) > 1 else line)


def _files(form: DefinitionForm, kept_logo: bytes) -> Files:
    """Browsers end lines with two characters; a file's end with one. Raises BadManifest."""
    said = form.cleaned_data
    texts = [said[name].replace("\r\n", "\n") for name in ("manifest", "guide")]
    drawn = said["logo"].read(logo.SIZE_LIMIT + 1) if said.get("logo") else kept_logo
    return Files(*texts, drawn)


# ── one connector ──


def own(request: HttpRequest, slug: str) -> catalogue.Entry:
    """Raises Http404 for one of the library: those are changed in their folders."""
    entry = catalogue.entry(request.principal, slug)
    if entry is None or entry.custom is None:
        raise Http404(f"no connector {slug}")
    return entry


def _checked(form, source: str = "manifest") -> dict | None:
    """What `check` shows, for the page as it is loaded."""
    if source != "manifest" or form.errors:
        return None
    return checked(form["manifest"].value() or "", form["guide"].value() or "")


@GET_AND_POST
@partner_member
def definition(request: HttpRequest, slug: str) -> HttpResponse:
    entry = own(request, slug)
    row = entry.custom
    initial = {"manifest": row.manifest, "guide": row.guide}
    form = DefinitionForm(
        *((request.POST, request.FILES) if request.method == "POST" else ()), initial=initial
    )
    if request.method == "POST" and form.is_valid():
        try:
            changed = drafts.save(row, request.principal, _files(form, bytes(row.logo)))
        except BadManifest as error:
            _say(form, error)
        else:
            messages.success(request, "The draft was saved." if changed else "Nothing was changed.")
            return redirect("connector-definition", slug)
    context = {"entry": entry, "connector": entry.connector, "custom": row, "form": form, "tab": "definition"}
    context["checked"] = _checked(form)
    return render(
        request, "connectors/authoring/definition.html", context, status=422 if form.errors else 200
    )


@require_POST
@partner_member
def check(request: HttpRequest) -> HttpResponse:
    """What is wrong with a definition, or what a customer would be asked by it, while it is typed."""
    found = checked(request.POST.get("manifest", ""), request.POST.get("guide", ""))
    return render(request, "connectors/authoring/checked.html", {"checked": found})


def checked(manifest: str, text: str) -> dict:
    """{"faults": […]} or {"connector": …, "ways": [(method, form), …]}."""
    files = Files(manifest.replace("\r\n", "\n"), text.replace("\r\n", "\n"), b"")
    try:
        connector = registry.written(f"{CUSTOM}draft", files)
    except BadManifest as error:
        return {"faults": [line.removeprefix("manifest.toml: ") for line in str(error).splitlines()]}
    return {"connector": connector, "ways": _ways(connector)}


def _ways(connector: Connector) -> list[tuple]:
    """Each way to connect with the fields that a customer sees, where the partner has stored nothing."""
    manifest = connector.manifest
    return [
        (
            method,
            PropertiesForm(
                properties=[
                    prop
                    for prop in manifest.properties_for(method.key)
                    if prop.level in ("account", "partner_else_account")
                    and not prop.fallback
                    and prop.type != "lookup"
                    and prop.name != manifest.method_property
                ],
                prefix=f"preview-{method.key}",
            ),
        )
        for method in manifest.auth_methods
    ]


@require_safe
@partner_member
def releases(request: HttpRequest, slug: str) -> HttpResponse:
    entry = catalogue.entry(request.principal, slug)
    if entry is None:
        raise Http404(f"no connector {slug}")
    context = {"entry": entry, "connector": entry.connector, "custom": entry.custom, "tab": "releases"}
    if row := entry.custom:
        context |= {
            "changes": drafts.what_changes(row),
            "form": PublishForm(initial={"version": drafts.next_version(row)}),
            "publications": Publication.objects.visible_to(request.principal)
            .filter(custom=row)
            .select_related("release"),
        }
    return render(request, "connectors/authoring/releases.html", context)


@require_POST
@partner_member
def publish(request: HttpRequest, slug: str) -> HttpResponse:
    row = own(request, slug).custom
    form = PublishForm(request.POST)
    if not form.is_valid():
        messages.error(request, form.errors["version"][0])
        return redirect("connector-releases", slug)
    try:
        publication = drafts.publish(row, request.principal, form.cleaned_data["version"])
    except ValidationError as error:
        messages.error(request, error.messages[0])
    else:
        version = publication.release.version
        messages.success(request, f"Version {version} is live. What is installed can be upgraded to it.")
    return redirect("connector-releases", slug)


@GET_AND_POST
@partner_member
def discard(request: HttpRequest, slug: str) -> HttpResponse:
    entry = own(request, slug)
    row = entry.custom
    if row.released is None:
        return redirect("connector-definition", slug)
    if row.state == "changed" and request.method != "POST":
        context = {"connector": entry.connector, "custom": row, "changes": drafts.what_changes(row)}
        return render(request, "connectors/authoring/discard.html", context)
    if row.state == "changed":
        drafts.discard(row, request.principal)
        messages.success(request, f"The draft is what version {row.live.version} is, again.")
    return redirect("connector-definition", slug)


@require_POST
@partner_member
def deprecate(request: HttpRequest, slug: str) -> HttpResponse:
    row = own(request, slug).custom
    deprecated = request.POST.get("then") == "deprecate"
    if row.live_id and deprecated != bool(row.deprecated_at):
        drafts.deprecate(row, request.principal, deprecated)
        said = "It is no longer offered. What is installed goes on." if deprecated else "It is offered again."
        messages.success(request, said)
    return redirect("connector-releases", slug)


@require_safe
@partner_member
def export(request: HttpRequest, slug: str) -> HttpResponse:
    """The connector's folder: of one's own the draft, which is what one works on."""
    entry = catalogue.entry(request.principal, slug)
    if entry is None:
        raise Http404(f"no connector {slug}")
    connector = entry.custom.draft if entry.custom else entry.connector
    name = f"{slug.removeprefix(CUSTOM)}-{connector.manifest.version}.zip"
    texts = entry.custom.samples if entry.custom else samples.of_library(slug)
    response = HttpResponse(folder.pack(connector, texts), content_type="application/zip")
    response["Content-Disposition"] = content_disposition_header(True, name)
    return response
