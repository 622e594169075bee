"""The authorization endpoint and the token endpoint of the stand-in for Heartland Retail.

Where Heartland's documents are silent, this follows RFC 6749 and RFC 7636.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import time
from urllib.parse import unquote_plus, urlencode, urlsplit, urlunsplit

from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from .heartland_scopes import SCOPES
from .heartland_state import digest, state

CODE_SECONDS = 60
REQUEST_SECONDS = 900
CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


class Refused(Exception):
    """An error of RFC 6749, on its way to the client."""

    def __init__(self, error, message, status=400):
        super().__init__(message)
        self.error, self.message, self.status = error, message, status


def _same(left, right):
    return hmac.compare_digest(left.encode(), right.encode())


# Authorization endpoint


@require_http_methods(["GET", "POST"])
def authorize(request):
    return _decide(request) if request.method == "POST" else _ask(request)


def _ask(request):
    """The consent page.

    `client_id` and `scope` are required, `redirect_uri` and `state` are known (grade A).
    `response_type` and PKCE are not in the official table, so they are checked only if given.
    """
    given = request.GET
    app = state.app(given.get("client_id", ""))
    if app is None:
        return _error_page(request, "No application is registered under this client_id.")
    if given.get("redirect_uri", app["redirect_uri"]) != app["redirect_uri"]:
        # Never a redirect: the address is not known to belong to the application.
        return _error_page(request, "The redirect_uri is not the one that was registered.")
    asked = {
        "client_id": app["client_id"],
        "redirect_uri": app["redirect_uri"],
        "redirect_uri_given": "redirect_uri" in given,
        "state": given.get("state"),
        "scopes": list(dict.fromkeys(given.get("scope", "").split())),
        "code_challenge": given.get("code_challenge", ""),
        "expires": time.monotonic() + REQUEST_SECONDS,
    }
    try:
        _check_request(given, asked["scopes"])
    except Refused as refused:
        answer = {"error": refused.error, "error_description": refused.message}
        return _redirect(asked, answer)
    request_id = secrets.token_urlsafe(24)
    with state.alone():
        _forget_expired(state.pending)
        state.pending[request_id] = asked
    context = {
        "app": app,
        "labels": [(SCOPES[scope], scope) for scope in asked["scopes"]],
        "stores": state.data["accounts"],
        "request_id": request_id,
    }
    return render(request, "consent.html", context)


def _check_request(given, scopes):
    if given.get("response_type", "code") != "code":
        raise Refused("unsupported_response_type", "Only response_type=code is known here.")
    if not scopes:
        raise Refused("invalid_scope", "The parameter scope is required.")
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown:
        raise Refused("invalid_scope", f"Unknown scope: {unknown[0]}")
    challenge, method = given.get("code_challenge"), given.get("code_challenge_method")
    if challenge is None and method is None:
        return
    if method != "S256":
        raise Refused("invalid_request", "Only code_challenge_method=S256 is known here.")
    if not CHALLENGE.fullmatch(challenge or ""):
        raise Refused("invalid_request", "The code_challenge is not a SHA-256 in base64url.")


def _decide(request):
    """Allow or Deny. Everything but the decision and the store was kept on this side."""
    with state.alone():
        _forget_expired(state.pending)
        asked = state.pending.pop(request.POST.get("request_id", ""), None)
    if asked is None:
        return _error_page(request, "This request was answered already, or it has expired.")
    if request.POST.get("decision") != "allow":
        return _redirect(asked, {"error": "access_denied"})
    store = request.POST.get("store")
    if store not in state.data["accounts"]:
        return _error_page(request, "There is no such store.")
    code = secrets.token_urlsafe(32)
    granted = {**asked, "store": store, "token_id": None, "used": False}
    with state.alone():
        state.codes[digest(code)] = {**granted, "expires": time.monotonic() + CODE_SECONDS}
    return _redirect(asked, {"code": code})


def _forget_expired(kept):
    for key in [key for key, value in kept.items() if value["expires"] < time.monotonic()]:
        del kept[key]


def _redirect(asked, answer):
    """`state` comes back as it was sent (grade A)."""
    if asked["state"] is not None:
        answer = {**answer, "state": asked["state"]}
    parts = urlsplit(asked["redirect_uri"])
    query = "&".join(filter(None, [parts.query, urlencode(answer)]))
    target = urlunsplit(parts._replace(query=query))
    return HttpResponse(status=302, headers={"Location": target, "Referrer-Policy": "no-referrer"})


def _error_page(request, message):
    return render(request, "error.html", {"message": message}, status=400)


# Token endpoint


@require_http_methods(["GET", "POST"])
def token(request):
    """POST with a form, or GET with a query: the only known client uses GET (grade D).

    The answer has no `expires_in` and no `refresh_token`: no document mentions either.
    """
    if state.data["switches"]["token_endpoint_slow"]:
        time.sleep(3)
    given = request.POST if request.method == "POST" else request.GET
    try:
        answer, status = _exchange(request, given), 200
    except Refused as refused:
        answer, status = {"error": refused.error, "message": refused.message}, refused.status
    response = JsonResponse(answer, status=status)
    response["Pragma"] = "no-cache"
    if status == 401 and "Authorization" in request.headers:
        response["WWW-Authenticate"] = 'Basic realm="Heartland Retail stand-in"'
    return response


def _exchange(request, given):
    if state.data["switches"]["wrong_client"]:
        raise Refused("invalid_client", "The client is not known (switched on purpose).", 401)
    app = _authenticate(request, given)
    if "grant_type" not in given:
        raise Refused("invalid_request", "The parameter grant_type is missing.")
    if given["grant_type"] != "authorization_code":
        raise Refused("unsupported_grant_type", "Only authorization_code is known here.")
    if not given.get("code"):
        raise Refused("invalid_request", "The parameter code is missing.")
    with state.alone():
        granted = state.codes.get(digest(given["code"]))
        if granted is None or granted["client_id"] != app["client_id"]:
            raise Refused("invalid_grant", "The code is not known.")
        if granted["used"]:
            # RFC 6749, 4.1.2: a second use hints at theft, so the first one's token goes too.
            if granted["token_id"]:
                state.revoke(granted["token_id"])
            raise Refused("invalid_grant", "The code was used before; its token is revoked.")
        # A failed attempt uses the code up as well: nobody gets to guess the verifier twice.
        granted["used"] = True
        _check_code(granted, given)
        scope = " ".join(granted["scopes"])
        granted["token_id"], access_token = state.create_oauth_token(
            app["client_id"], granted["store"], scope
        )
    return {"access_token": access_token, "token_type": "bearer", "scope": scope}


def _authenticate(request, given):
    header = request.headers.get("Authorization", "")
    if header:
        if "client_secret" in given:
            raise Refused("invalid_request", "The client authenticates in two ways at once.")
        client_id, client_secret = _read_basic(header)
        if given.get("client_id", client_id) != client_id:
            raise Refused("invalid_request", "Two different client ids were sent.")
    else:
        client_id, client_secret = given.get("client_id", ""), given.get("client_secret", "")
    app = state.app(client_id)
    if app is None or not _same(app["secret_sha256"], digest(client_secret)):
        raise Refused("invalid_client", "Unknown client or wrong client secret.", 401)
    return app


def _read_basic(header):
    kind, _, encoded = header.partition(" ")
    try:
        if kind.lower() != "basic":
            raise ValueError
        client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        raise Refused("invalid_client", "The Authorization header is not Basic.", 401) from None
    # RFC 6749, 2.3.1: both are form-encoded before they are joined.
    return unquote_plus(client_id), unquote_plus(secret)


def _check_code(granted, given):
    if granted["expires"] < time.monotonic():
        raise Refused("invalid_grant", "The code has expired.")
    sent = given.get("redirect_uri")
    if sent is None and not granted["redirect_uri_given"]:
        sent = granted["redirect_uri"]
    if sent != granted["redirect_uri"]:
        raise Refused("invalid_grant", "The redirect_uri is not the one of the request.")
    verifier, challenge = given.get("code_verifier"), granted["code_challenge"]
    if bool(verifier) != bool(challenge):
        wrong = "is missing" if challenge else "was sent, but there was no code_challenge"
        raise Refused("invalid_grant", f"The code_verifier {wrong}.")
    if challenge:
        hashed = hashlib.sha256(verifier.encode()).digest()
        if not _same(challenge, base64.urlsafe_b64encode(hashed).decode().rstrip("=")):
            raise Refused("invalid_grant", "The code_verifier does not fit the code_challenge.")
