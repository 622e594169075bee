"""The pages a person sees on the stand-in for Heartland Retail, and a JSON control for tests.

The way to a new API token uses the words of the founding guide, "Generating an API Token".
The store is chosen by `?store=`: a stand-in has no sessions.
"""

import json
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from django.http import HttpResponse, HttpResponseBadRequest, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from .heartland_state import STORES, SWITCHES, state

TEMPLATES = Path(__file__).parent / "templates" / "heartland"
DEFAULT_STORE = next(iter(STORES))


def _store(request):
    asked = request.POST.get("store") or request.GET.get("store")
    return asked if asked in state.data["accounts"] else DEFAULT_STORE


def _page(request, template, **context):
    store = _store(request)
    accounts = state.data["accounts"]
    common = {"store": store, "account": accounts[store], "stores": accounts}
    return render(request, template, {**common, **context})


def _go(path, **query):
    """303, so that a reload of the next page does not repeat the change."""
    response = redirect(f"{path}?{urlencode(query)}" if query else path)
    response.status_code = 303
    return response


def _connected(store=None):
    """The applications with an OAuth token, of one store or of all."""
    data = state.data
    names = {app["client_id"]: app["name"] for app in data["apps"]}
    return [
        {
            **token,
            "app": names.get(token["client_id"], token["client_id"]),
            "account": data["accounts"][token["store"]]["name"],
            "permissions": len(token["scope"].split()),
        }
        for token in data["oauth_tokens"]
        if store in (None, token["store"])
    ]


@require_GET
def style(request):
    return HttpResponse((TEMPLATES / "style.css").read_bytes(), content_type="text/css")


@require_GET
def dashboard(request):
    return _page(request, "dashboard.html")


@require_GET
def my_account(request):
    return _page(request, "account.html", connected=_connected(_store(request)))


@require_GET
def api_tokens(request):
    store = _store(request)
    tokens = [token for token in state.data["api_tokens"] if token["store"] == store]
    return _page(request, "api_tokens.html", tokens=tokens)


@require_http_methods(["GET", "POST"])
def new_api_token(request):
    if request.method == "GET":
        return _page(request, "api_token_new.html")
    description = request.POST.get("description", "").strip()
    if not description:
        return _page(request, "api_token_new.html", problem="Enter a description.")
    store = _store(request)
    token = state.create_api_token(store, description)
    shown = state.show_once(token=token, description=description)
    return _go("/account/api/token", store=store, shown=shown)


@require_GET
def show_api_token(request):
    shown = state.take_shown(request.GET.get("shown", ""))
    return _page(request, "api_token_shown.html", shown=shown)


@require_POST
def revoke(request):
    """Users may revoke an API token or a connected application at any time (grade A)."""
    state.revoke(request.POST.get("id", ""))
    back = request.POST.get("back")
    return _go(back if back in ("/account", "/apps") else "/account/api", store=_store(request))


@require_http_methods(["GET", "POST"])
def apps(request):
    """Stands for the support request that registers an app with Heartland (grade A)."""
    problem = None
    if request.method == "POST":
        name = request.POST.get("name", "").strip()
        redirect_uri = request.POST.get("redirect_uri", "").strip()
        problem = _app_problem(name, redirect_uri)
        if not problem:
            client_id, secret = state.save_app(name, redirect_uri)
            shown = state.show_once(client_id=client_id, client_secret=secret, name=name)
            return _go("/apps/registered", shown=shown)
    return _page(
        request,
        "apps.html",
        apps=state.data["apps"],
        connected=_connected(),
        problem=problem,
        values=request.POST,
    )


def _app_problem(name, redirect_uri):
    if not name:
        return "Enter a name."
    try:
        parts = urlsplit(redirect_uri)
    except ValueError:
        parts = urlsplit("")
    # RFC 6749, 3.1.2: an absolute address without a fragment.
    if parts.scheme not in ("http", "https") or not parts.hostname or "#" in redirect_uri:
        return "Enter a redirect URI that starts with https:// or http:// and has no fragment."
    return None


@require_GET
def app_registered(request):
    shown = state.take_shown(request.GET.get("shown", ""))
    return _page(request, "app_registered.html", shown=shown)


@require_POST
def delete_app(request):
    state.delete_app(request.POST.get("client_id", ""))
    return _go("/apps")


@require_http_methods(["GET", "POST"])
def switches(request):
    if request.method == "POST":
        with state.edit() as data:
            data["switches"] = {key: key in request.POST for key in SWITCHES}
        return _go("/switches", saved=1)
    now = state.data["switches"]
    rows = [(key, text, now[key]) for key, text in SWITCHES.items()]
    return _page(request, "switches.html", rows=rows, saved="saved" in request.GET)


# Control for tests. The paths begin with "/_" and are not counted.


def _sent(request):
    """The JSON object of a control request; None if it is not one."""
    try:
        sent = json.loads(request.body or b"{}")
    except ValueError:
        return None
    return sent if isinstance(sent, dict) else None


@require_http_methods(["GET", "POST"])
def control(request):
    """GET reads the switches, POST {"switch": bool, …} sets some of them."""
    if request.method == "POST":
        sent = _sent(request)
        if sent is None or not set(sent) <= set(SWITCHES):
            return HttpResponseBadRequest(f"Known switches: {', '.join(SWITCHES)}\n")
        with state.edit() as data:
            data["switches"].update({key: bool(value) for key, value in sent.items()})
    return JsonResponse(state.data["switches"])


@require_GET
def calls(request):
    return JsonResponse(dict(state.calls))


@require_POST
def reset_calls(request):
    state.calls.clear()
    return HttpResponse(status=204)


@require_POST
def control_tokens(request):
    sent = _sent(request)
    if sent is None or sent.get("store") not in state.data["accounts"]:
        return HttpResponseBadRequest(f"Known stores: {', '.join(STORES)}\n")
    description = str(sent.get("description", "Made for a test"))
    return JsonResponse({"token": state.create_api_token(sent["store"], description)}, status=201)


@require_POST
def control_apps(request):
    sent = _sent(request) or {}
    name, redirect_uri = str(sent.get("name", "")), str(sent.get("redirect_uri", ""))
    problem = _app_problem(name, redirect_uri)
    if problem:
        return HttpResponseBadRequest(f"{problem}\n")
    client_id, secret = state.save_app(name, redirect_uri)
    return JsonResponse({"client_id": client_id, "client_secret": secret}, status=201)


@require_POST
def control_revoke(request):
    """POST {"token": "…"}: what its owner would do on the pages."""
    record = state.find_token(str((_sent(request) or {}).get("token", "")))
    if record:
        state.revoke(record["id"])
    return JsonResponse({"revoked": record is not None})


@require_GET
def ready(request):
    return HttpResponse(status=204)
