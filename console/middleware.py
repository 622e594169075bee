"""What holds for every request: a reference number, one log line, and private pages."""

import ipaddress
import logging
import secrets
import time

from django.conf import settings
from django.core.checks import Error, register
from django.http import HttpResponseNotAllowed

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
        response["X-Request-Id"] = request.reference
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
            # Only if a page has asked who it is: this line must not need the database.
            "user": getattr(getattr(request, "_cached_user", None), "pk", None) or "-",
        }
        span.name(
            f"{metrics.known(request.method)} {facts['route']}",
            **{"http.route": facts["route"], "http.response.status_code": response.status_code},
            ref=request.reference,
        )
        metrics.request(facts["method"], facts["route"], facts["status"], seconds)
        log.info("%(method)s %(route)s %(status)s %(ms)sms user=%(user)s", facts, extra=facts)
        return response


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
    return str(ipaddress.ip_network((ip, 64), strict=False)) if ip.version == 6 else address


def client_address(request) -> str:
    """The address that a rate limit counts: the socket's, or what the trusted proxies appended."""
    hops = [hop.strip() for hop in request.headers.get("X-Forwarded-For", "").split(",") if hop.strip()]
    trusted = settings.TRUSTED_PROXIES
    return hops[-trusted] if trusted and len(hops) >= trusted else request.META["REMOTE_ADDR"]


@register(deploy=True)
def trusts_its_proxy(app_configs, **kwargs) -> list[Error]:
    """Behind a proxy that is not trusted all have the proxy's address, and one spends the tries of all."""
    if settings.BEHIND_PROXY and not settings.TRUSTED_PROXIES:
        return [
            Error(
                "BEHIND_PROXY is set and TRUSTED_PROXIES is 0.",
                hint="Say how many proxies append to X-Forwarded-For.",
                id="console.E001",
            )
        ]
    return []
