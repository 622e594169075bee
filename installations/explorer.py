"""The API explorer: pick an installation, call its provider's API by hand, see what comes back."""

import json
import re
import shlex
from string import Template
from urllib.parse import quote, urlencode
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_http_methods, require_safe

from connectors import catalogue, registry
from connectors.manifest.vocabulary import names_in
from connectors.models import ConnectorSettings
from console import throttle
from console.models import Event
from console.paging import LongPaginator, asked_for
from console.problems import ProblemError, mended_by
from console.problems.texts import PARTNER
from console.tenancy import Principal, partner_member
from installations import standing
from installations.auth import Token
from installations.ending import name_of
from installations.models import HELD, Installation, Status
from installations.proxying import asked, explored
from installations.values import paths_of
from installations.views import named

PAGE_SIZE, SEARCH_LIMIT = 50, 1000
LATEST = 10
CALLS_PER_MINUTE = 60
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]
CHANGING = [method for method in METHODS if method not in asked.SAFE]


@require_safe
@partner_member
def pick(request: HttpRequest) -> HttpResponse:
    text = asked_for(request)
    rows = Installation.objects.visible_to(request.principal).in_state(Status.CONNECTED)
    silent = [connector.slug for connector in registry.all().values() if not connector.manifest.base_url]
    rows = rows.exclude(connector__in=silent)
    if text:
        rows = rows.search(text, request.principal) | rows.filter(connector__in=_called(request, text))
    pages = LongPaginator(
        rows,
        PAGE_SIZE,
        joined=["account"],
        columns=[*Installation.TABLE_COLUMNS, "connected_at", "account__name"],
        at_most=SEARCH_LIMIT if text else None,
    )
    page = pages.get_page(request.GET.get("page"))
    named(page.object_list)
    return render(request, "installations/explorer/pick.html", {"page": page, "q": text})


def _called(request: HttpRequest, text: str) -> list[str]:
    """The connectors in use in whose name the text stands."""
    visible = Installation.objects.visible_to(request.principal)
    used = catalogue.names(request.principal.partner_id, visible.connectors(request.principal))
    return [slug for slug, name in used.items() if text.lower() in name.lower()]


@require_http_methods(["GET", "HEAD", "POST"])
@partner_member
def explore(request: HttpRequest, installation_id: UUID) -> HttpResponse:
    rows = Installation.objects.visible_to(request.principal).select_related("account", "partner")
    row = get_object_or_404(rows, pk=installation_id)
    name = name_of(row)
    context = {"installation": row, "connector": row.definition, "name": name}
    if code := why_not(row):
        context["problem"] = _told(ProblemError(code), row)
        return render(request, "installations/explorer/call.html", context)
    known = _known(row)
    context |= {"example": _example(row, known), "base_url": (base := _base(row, known))}
    whose = f"{row.account.name} at {name}"
    form, status = CallForm(request.POST, base_url=base, whose=whose), 200
    if request.method == "POST":
        status = _call(request, row, form, context) if form.is_valid() else 422
    if status != 422:
        typed = request.POST or request.GET
        kept = {
            field: typed.get(field, "").replace("\0", "") for field in ("method", "path", "headers", "body")
        }
        # What was confirmed was that one call.
        form = CallForm(initial=kept, base_url=base, whose=whose)
    context |= {"form": form, "calls": _latest(request.principal, row)}
    return render(request, "installations/explorer/call.html", context, status=status)


def why_not(row: Installation) -> str:
    """The code of the problem that keeps an installation from being called; "" where none is known."""
    if row.definition is None:
        return "connector_gone"
    if not row.definition.manifest.base_url:
        return "not_http"
    if row.disabled_at:
        return "installation_disabled"
    return "" if row.status in HELD and row.auth_method else "not_connected"


def _call(request: HttpRequest, row: Installation, form: "CallForm", context: dict) -> int:
    """Make it; what the page says of it. The status of the page."""
    wanted = form.asked
    context["curl"] = curl(row, wanted)
    try:
        throttle.spend(f"explorer:{request.user.pk}", per_minute=CALLS_PER_MINUTE)
    except ProblemError as error:
        context["problem"] = _told(error, row)
        return error.problem.status
    found = explored.explore(request.principal, row, wanted, request.reference)
    context["explored"] = found
    if found.problem:
        context["problem"] = _told(found.problem, row)
        return found.problem.problem.status
    return 200


def _told(error: ProblemError, row: Installation) -> dict[str, str]:
    problem, names = error.problem, {"connector": name_of(row), "partner": row.partner.name}
    return {
        "title": problem.title.format(**names),
        "what": problem.what.format(**names),
        "mended_by": mended_by(problem, **names, own=problem.mended_by == PARTNER),
        "words": error.words,
    }


def _latest(principal: Principal, row: Installation):
    calls = Event.objects.visible_to(principal).filter(subject_id=row.pk, kind=explored.KIND)[:LATEST]
    for call in calls:
        method, path = call.details["method"], call.details["path"].removeprefix("/")
        call.again = urlencode({"method": method, "path": path})
    return calls


# ── what is known without the credential ────────────────────────────────────────────────────────


def _known(row: Installation) -> dict[str, str]:
    """What fills the connector's addresses, for a page: what is secret is •••."""
    manifest = row.definition.manifest
    settings = ConnectorSettings(partner_id=row.partner_id, connector=row.connector)
    if manifest.partner_properties:
        settings = ConnectorSettings.objects.for_connector(row.partner_id, row.connector)
    values = standing.values_of(row, settings, Token())
    paths, secret = paths_of(manifest), explored.secret_names(manifest)
    return {
        name: "•••" if name in secret else quote(value, safe="/" if name in paths else ":")
        for name, value in values.items()
    }


def _base(row: Installation, known: dict[str, str]) -> str:
    return Template(row.definition.manifest.base_url).safe_substitute(known).rstrip("/") + "/"


def _example(row: Installation, known: dict[str, str]) -> dict[str, str] | None:
    """The call that proves a credential, where it is a GET below the base address."""
    manifest = row.definition.manifest
    call = manifest.verification_for(manifest.method(row.auth_method))
    base = manifest.base_url.rstrip("/") + "/"
    if call.type != "http" or call.method != "GET" or not call.url.startswith(base):
        return None
    rest, headers = call.url.removeprefix(base), call.headers
    if names_in(rest, *headers.values()) & explored.secret_names(manifest):
        return None
    path = Template(rest).safe_substitute(known)
    lines = [f"{name}: {Template(text).safe_substitute(known)}" for name, text in headers.items()]
    form = {"method": "GET", "path": path, "headers": "\n".join(lines)}
    return {"path": path, "query": urlencode({key: text for key, text in form.items() if text})}


# ── the call ────────────────────────────────────────────────────────────────────────────────────


def curl(row: Installation, wanted: asked.Asked) -> str:
    """The same call by way of the console's own proxy, for a shell."""
    rest = wanted.path + (f"?{wanted.query}" if wanted.query else "")
    words = ["curl"]
    if wanted.method == "HEAD":
        words.append("--head")
    elif wanted.method != "GET":
        words += ["-X", wanted.method]
    if any(char in rest for char in "[]{}"):
        words.append("--globoff")
    address = f"$CONSOLE/api/v1/installations/{row.pk}/proxy/"
    # What a shell would fill in stands outside the double quotes.
    quoted = f'"{address}"{shlex.quote(rest)}' if re.search(r'["$`\\!]', rest) else f'"{address}{rest}"'
    words += [quoted, '-H "Authorization: Bearer $API_KEY"']
    words += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in wanted.headers.items()]
    if wanted.retries is not None:
        words.append(f"-H '{asked.RETRIES}: {wanted.retries}'")
    if wanted.body is not None:
        words.append(f"--data-raw {shlex.quote(wanted.body.decode())}")
    return " ".join(words)


class CallForm(forms.Form):
    """What a person asks of a provider; once it is valid, `asked` is what goes out."""

    method = forms.ChoiceField(choices=[(method, method) for method in METHODS])
    path = forms.CharField(
        required=False,
        max_length=2000,
        widget=forms.TextInput({"class": "monospaced", "spellcheck": "false", "autocapitalize": "off"}),
        help_text="With the query behind it, if there is one: items?per_page=5",
    )
    headers = forms.CharField(
        required=False,
        max_length=8000,
        widget=forms.Textarea({"class": "monospaced", "rows": 2, "spellcheck": "false"}),
        help_text="Optional, one on each line: Accept-Language: de. The credential is added for you.",
    )
    body = forms.CharField(
        required=False,
        strip=False,
        max_length=100_000,
        widget=forms.Textarea(
            {
                "class": "monospaced",
                "rows": 8,
                "spellcheck": "false",
                "data-visible-if": json.dumps({"method": CHANGING}),
            }
        ),
        help_text="Of POST, PUT, PATCH and DELETE. It is JSON unless a Content-Type among the headers says "
        "otherwise.",
    )
    sure = forms.BooleanField(
        required=False, widget=forms.CheckboxInput({"data-visible-if": json.dumps({"method": CHANGING})})
    )

    def __init__(self, *args, base_url: str, whose: str, **kwargs):
        super().__init__(*args, label_suffix="", **kwargs)
        self.base_url, self.asked = base_url, None
        self.fields["path"].prefix = base_url
        self.fields["sure"].label = f"This changes data of {whose}. I mean it."

    def clean_path(self) -> str:
        # Some paste the whole address.
        return self.cleaned_data["path"].removeprefix(self.base_url).removeprefix("/")

    def clean_headers(self) -> list[tuple[str, str]]:
        found = []
        for number, line in enumerate(self.cleaned_data["headers"].splitlines(), start=1):
            if not line.strip():
                continue
            name, colon, value = (part.strip() for part in line.partition(":"))
            if not colon or not asked.NAME.fullmatch(name) or not value.isprintable():
                raise ValidationError(f"Line {number} is no header. Write it so: Accept-Language: de")
            found.append((name, value))
        return found

    def clean(self) -> dict:
        data = super().clean()
        if self.errors:
            return data
        method, headers, body = data["method"], data["headers"], None
        if method in CHANGING:
            # As it was typed: a browser sends each end of a line as two characters.
            body = data["body"].replace("\r\n", "\n").encode() or None
            if not data["sure"]:
                self.add_error("sure", "Confirm that you mean it. Nothing was sent.")
        if body is not None:
            given = next((value for name, value in headers if name.lower() == "content-type"), "")
            if not given:
                headers = [*headers, ("Content-Type", "application/json")]
            if not given or re.match(r"application/(.*\+)?json\b", given, re.IGNORECASE):
                self._check_json(body)
        try:
            self.asked = asked.written(method, data["path"], headers, body)
        except ProblemError as error:
            place = "path" if re.match("the (path|query)", error.words) else "headers"
            self.add_error(place, f"{error.problem.title}: {error.words}.")
        return data

    def _check_json(self, body: bytes) -> None:
        try:
            json.loads(body)
        except json.JSONDecodeError as error:
            said = f"This is no JSON: {error.msg} in line {error.lineno}, column {error.colno}."
            self.add_error("body", said)
        except (ValueError, RecursionError):
            self.add_error("body", "This is no JSON.")
