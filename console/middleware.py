"""What holds for every request: a reference number, one log line, and private pages."""

import ipaddress
import logging
import secrets
import time
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.http import HttpResponseNotAllowed, HttpResponseRedirect

from console import logs, metrics, spans
from console.crypto import CannotOpen
from console.problems import ProblemError, problem_page

log = logging.getLogger("console.request")


class RequestLog:
    """Give the request an id and log one line of it.

    The line holds the route, never the path or the query: a setup link's token stands in the path,
    an authorization code in the query (RFC 9700, section 4.2).
    """

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        # No 0/O and 1/I/L: a person reads it out on the telephone.
        request.reference = "".join(secrets.choice("ABCDEFGHJKMNPQRSTUVWXYZ23456789") for _ in range(8))
        with logs.about(ref=request.reference, request=request), spans.span("request", "SERVER") as span:
            response = self._answer(request, span)
        response.headers.setdefault("X-Request-Id", request.reference)
        return response

    def _answer(self, request, span):
        started = time.perf_counter()
        response = self.get_response(request)
        seconds = time.perf_counter() - started
        match = request.resolver_match
        facts = {
            "method": request.method,
            "route": f"/{match.route}" if match else "(no route)",
            "status": response.status_code,
            "ms": round(seconds * 1000),
            "user": self._caller(request),
        }
        span.name(
            f"{metrics.known(request.method)} {facts['route']}",
            **{"http.route": facts["route"], "http.response.status_code": response.status_code},
            ref=request.reference,
        )
        metrics.request(facts["method"], facts["route"], facts["status"], seconds)
        log.info("%(method)s %(route)s %(status)s %(ms)sms user=%(user)s", facts, extra=facts)
        return response

    def _caller(self, request):
        """An API key, or a user if the page has asked who it is: this must not need the database."""
        if key := getattr(request, "api_key", None):
            return key.beginning
        return getattr(getattr(request, "_cached_user", None), "pk", None) or "-"


class OneAddress:
    """The console has one address, BASE_URL; two kinds of requests come by another one.

    Probes ask a machine by its number, and are answered whatever they call it. On a developer's machine
    people type localhost for 127.0.0.1: cookies and redirect URIs are of one of them, so they are led there.
    """

    PROBES = ("/healthz", "/readyz")
    LOOPBACK = ("localhost", "127.0.0.1", "::1")

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        base = urlsplit(settings.BASE_URL)
        asked = request.META.get("HTTP_HOST", "")
        if request.path in self.PROBES:
            request.META["HTTP_HOST"] = base.netloc
        elif (
            settings.DEVELOPMENT
            and request.method in ("GET", "HEAD")
            and asked != base.netloc
            and self._place(base.netloc) == self._place(asked) is not None
        ):
            return HttpResponseRedirect(f"{base.scheme}://{base.netloc}{request.get_full_path()}")
        return self.get_response(request)

    def _place(self, netloc: str) -> int | None:
        """The port, where it is one of this machine; None of any other name."""
        try:
            parts = urlsplit(f"//{netloc}")
            return (parts.port or 80) if parts.hostname in self.LOOPBACK else None
        except ValueError:  # what is no port, or no address
            return None


class RouteInPlaceOfPath(logging.Filter):
    """Django's own lines name the path of a request that failed; a setup link's token stands in it."""

    def filter(self, record):
        request = getattr(record, "request", None)
        if request is not None and isinstance(record.args, tuple):
            match = request.resolver_match
            route = f"/{match.route}" if match else "(no route)"
            record.args = tuple(route if arg == request.path else arg for arg in record.args)
        return True


class PrivatePages:
    """Pages are nobody's to store or to load from elsewhere. Static files never come here."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        response = self.get_response(request)
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers.setdefault("X-Robots-Tag", "noindex")
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        return response

    def process_view(self, request, view, args, kwargs):
        if request.resolver_match.app_name == "admin" and "%00" in request.META["QUERY_STRING"]:
            # The admin's filters hand it on to the database, which may take none.
            return problem_page(request, ProblemError("bad_request"))
        return None

    def process_exception(self, request, exception):
        if isinstance(exception, CannotOpen):
            log.error("%s ref=%s", exception, request.reference)
            exception = ProblemError("stored_value_unreadable")
        if isinstance(exception, ProblemError):
            # Their page is no use to this sign-in, and leads to itself.
            elsewhere = exception.code in ("no_partner", "partner_disabled")
            return problem_page(request, exception, action_url="/sign-in/" if elsewhere else "/")


class WrongMethod:
    """Django answers a method that a page does not take with an empty page; ours says what to do."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        response = self.get_response(request)
        if isinstance(response, HttpResponseNotAllowed) and not response.content:
            page = problem_page(request, ProblemError("wrong_method"))
            page["Allow"] = response["Allow"]
            return page
        return response


def network_of(address: str) -> str:
    """What one person has of addresses: of IPv6 a /64, and not one of its many."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if mapped := getattr(ip, "ipv4_mapped", None):
        # All of them lie in one /64.
        return str(mapped)
    return str(ipaddress.ip_network((ip, 64), strict=False)) if ip.version == 6 else address


def client_address(request) -> str:
    """The address that a rate limit counts: the socket's, or what the trusted proxies appended."""
    hops = [hop.strip() for hop in request.headers.get("X-Forwarded-For", "").split(",") if hop.strip()]
    trusted = settings.TRUSTED_PROXIES
    return hops[-trusted] if trusted and len(hops) >= trusted else request.META["REMOTE_ADDR"]


@register(deploy=True)
def trusts_its_proxy(app_configs, **kwargs) -> list[CheckMessage]:
    """Behind a proxy that is not trusted all have the proxy's address, and one spends the tries of all."""
    if settings.BEHIND_PROXY and not settings.TRUSTED_PROXIES:
        return [
            Error(
                "BEHIND_PROXY is set and TRUSTED_PROXIES is 0.",
                hint="Say how many proxies append to X-Forwarded-For.",
                id="console.E001",
            )
        ]
    if not settings.BEHIND_PROXY:
        return [
            Warning(
                "BEHIND_PROXY is not set.",
                hint="gunicorn speaks plain http: without it each request is redirected to https for ever.",
                id="console.W004",
            )
        ]
    return []


@register(deploy=True)
def has_an_address_of_its_own(app_configs, **kwargs) -> list[CheckMessage]:
    """An address copied from an example: redirect URIs and setup links would lead to nobody."""
    host = urlsplit(settings.BASE_URL).hostname or ""
    reserved = ("example", "example.com", "example.net", "example.org", "test", "invalid", "localhost")
    if any(host == name or host.endswith(f".{name}") for name in reserved):
        return [
            Error(
                f"BASE_URL is {settings.BASE_URL}, a name that leads nowhere (RFC 2606).",
                hint="Set it to the address at which people reach this console.",
                id="console.E002",
            )
        ]
    return []
