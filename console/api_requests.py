"""The door of the API: what begins with /api/v1/ needs no session, no form and no page."""

import logging

from django.core.exceptions import ObjectDoesNotExist
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import resolve
from django.utils.cache import patch_cache_control

from console.crypto import CannotOpen
from console.problems import ProblemError, problem_json

log = logging.getLogger("console.api")

PREFIX = "/api/v1/"
# A program's answer is no page: whatever stands in it, no browser does anything with it.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class ApiRequests:
    """Answer the API without the layers that pages need, and say every fault as a problem (RFC 9457)."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith(PREFIX):
            return self.get_response(request)
        method = request.method
        response = self._answer(request)
        request.method = method
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        if "Cache-Control" not in response.headers:
            patch_cache_control(response, no_store=True)
        # A provider may say how many calls it has left, too.
        rate = getattr(request, "rate", None)
        if rate and not getattr(response, "is_of_provider", False):
            limit, left, seconds = rate
            response["RateLimit-Policy"] = f'"calls";q={limit};w=60'
            response["RateLimit"] = f'"calls";r={left};t={seconds}'
        return response

    def _answer(self, request: HttpRequest) -> HttpResponse:
        try:
            request.resolver_match = match = resolve(request.path_info)
            if request.method == "HEAD" and match.url_name != "proxy":
                # The server leaves out the body (RFC 9110, section 9.3.2); a provider is asked as it came.
                request.method = "GET"
            response = match.func(request, *match.args, **match.kwargs)
            if response.status_code == 405:
                refusal = answer_to(request, ProblemError("method_not_allowed"))
                refusal["Allow"] = response.get("Allow", "").replace("GET", "GET, HEAD")
                return refusal
            return response
        except Exception as error:
            return answer_to(request, error)


def answer_to(request: HttpRequest, error: Exception) -> HttpResponse:
    """The problem that an exception is, for whoever called."""
    if isinstance(error, CannotOpen):
        log.error("%s ref=%s", error, request.reference)
        error = ProblemError("stored_value_unreadable")
    elif isinstance(error, (Http404, ObjectDoesNotExist)):  # the second was deleted while it was asked for
        error = ProblemError("not_found")
    elif not isinstance(error, ProblemError):
        # Neither its words nor its frames: both may hold what was sent.
        log.error("a call could not be answered: %s ref=%s", _place(error), request.reference)
        error = ProblemError("api_down")
    return problem_json(error, request.reference, **getattr(request, "names", {}))


def _place(error: Exception) -> str:
    """Its name, and where it was raised."""
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    where = f" in {frame.tb_frame.f_code.co_qualname}, line {frame.tb_lineno}" if frame else ""
    return f"{type(error).__name__}{where}"
