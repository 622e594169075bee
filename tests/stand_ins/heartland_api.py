"""The REST API of the stand-in for Heartland Retail: a few resources, with invented records."""

import json
import math

from django.http import HttpResponse, JsonResponse

from .heartland_scopes import SCOPES
from .heartland_state import state

# Which scope each endpoint needs is not documented; these pairs are an inference from the
# scope labels. An API token needs none of them: it has its user's permissions.
NEEDED = {
    "items": ("item.manage",),
    "customers": ("customer.read", "customer.manage"),
    "locations": ("location.read", "location.manage"),
}
DEFAULT_PER_PAGE = 20  # the vendor's own Ruby client asks for 20 (grade B)


class Problem(Exception):
    """An error answer. Body: "error" and "message" (grade B)."""

    def __init__(self, status, error, message, **headers):
        super().__init__(message)
        self.status, self.error, self.message, self.headers = status, error, message, headers

    def response(self):
        body = {"error": self.error, "message": self.message}
        headers = {name.replace("_", "-"): value for name, value in self.headers.items()}
        return JsonResponse(body, status=self.status, headers=headers)


def endpoint(*methods):
    """Turns a Problem into its answer, and refuses the methods that are not listed."""

    def decorate(view):
        def wrapped(request, *args, **kwargs):
            try:
                if request.method not in methods:
                    raise Problem(405, "method_not_allowed", "Not this method.", Allow=", ".join(methods))
                return view(request, *args, **kwargs)
            except Problem as problem:
                return problem.response()

        return wrapped

    return decorate


def _authenticate(request, account=None):
    """Bearer for API tokens and OAuth tokens alike. 401 means a bad or revoked token (grade C)."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    record = state.find_token(token.strip()) if kind.lower() == "bearer" else None
    if record is None or account not in (None, record["store"]):
        message = "The token is missing, unknown or revoked."
        raise Problem(401, "unauthorized", message, WWW_Authenticate="Bearer")
    return record


def _require_scope(record, resource):
    if "scope" not in record:
        return
    needed = NEEDED[resource]
    if not set(needed) & set(record["scope"].split()):
        labels = " or ".join(f'"{SCOPES[scope]}"' for scope in needed)
        raise Problem(403, "forbidden", f"This needs the permission {labels}.")


@endpoint("GET")
def host(request):
    """On the central host, any valid token learns the host of its account (grade D and C-)."""
    record = _authenticate(request)
    if state.data["switches"]["host_lookup_fails"]:
        raise Problem(404, "not_found", "No such resource (switched on purpose).")
    return JsonResponse({"host": state.data["accounts"][record["store"]]["host"]})


@endpoint("GET")
def whoami(request):
    """The current user (grade C; the full schema is not documented)."""
    _authenticate(request, request.account)
    if state.data["switches"]["whoami_fails"]:
        raise Problem(500, "internal_error", "Something went wrong (switched on purpose).")
    account = state.data["accounts"][request.account]
    return JsonResponse({**account["user"], "account_name": account["name"]})


@endpoint("GET")
def company_name(request):
    """The account's label (grade C/B)."""
    _authenticate(request, request.account)
    return JsonResponse({"value": state.data["accounts"][request.account]["name"]})


@endpoint("GET", "POST")
def items(request):
    return _create_item(request) if request.method == "POST" else _page(request, "items")


@endpoint("GET")
def customers(request):
    return _page(request, "customers")


@endpoint("GET")
def locations(request):
    return _page(request, "locations")


@endpoint("GET")
def item(request, item_id):
    """A single record comes bare, without an envelope (grade B)."""
    _require_scope(_authenticate(request, request.account), "items")
    records = state.data["accounts"][request.account]["items"]
    found = next((record for record in records if record["id"] == item_id), None)
    if found is None:
        raise Problem(404, "not_found", "There is no such item.")
    return JsonResponse(found)


def _page(request, resource):
    """`page` counts from 1; the body has total, pages and results (grade B)."""
    _require_scope(_authenticate(request, request.account), resource)
    records = state.data["accounts"][request.account][resource]
    page = _positive(request, "page", 1)
    per_page = request.GET.get("per_page")
    # "all" is used by the vendor's staff (grade B).
    size = len(records) if per_page == "all" else _positive(request, "per_page", DEFAULT_PER_PAGE)
    size = max(size, 1)
    body = {
        "total": len(records),
        "pages": math.ceil(len(records) / size),
        "results": records[(page - 1) * size : page * size],
    }
    return JsonResponse(body)


def _positive(request, name, default):
    value = request.GET.get(name, str(default))
    if not (value.isascii() and value.isdecimal()) or int(value) < 1:
        raise Problem(400, "invalid_request", f"{name} has to be a whole number from 1.")
    return int(value)


def _create_item(request):
    """201, an empty body and the new resource in Location (grade B)."""
    _require_scope(_authenticate(request, request.account), "items")
    try:
        sent = json.loads(request.body)
    except ValueError:
        sent = None
    if not isinstance(sent, dict):
        raise Problem(400, "invalid_request", "The body has to be a JSON object.")
    with state.edit() as data:
        records = data["accounts"][request.account]["items"]
        item_id = max((record["id"] for record in records), default=100000) + 1
        created = {"public_id": f"N{item_id}", "description": "", "price": 0, "active?": True}
        records.append({**created, **sent, "id": item_id})
    return HttpResponse(status=201, headers={"Location": f"/api/items/{item_id}"})


def not_found(request):
    return Problem(404, "not_found", "There is no such resource on this host.").response()


def down():
    message = "Down for maintenance (switched on purpose)."
    return Problem(503, "service_unavailable", message, Retry_After="5").response()
