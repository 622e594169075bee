"""For those who watch the server rather than use it: does it work, is it ready, how does it fare."""

from contextlib import suppress
from secrets import compare_digest

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from console import gauges, readiness
from console.models import Pause
from console.problems import ProblemError, problem_page


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """Whether this process answers; asked often, so it asks little itself."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    parts = readiness.parts()
    ready = set(parts.values()) == {readiness.OK}
    found = {"status": "ready" if ready else "not ready", "parts": parts}
    with suppress(DatabaseError):
        # Pages work during a pause, so it is no reason to take this server out of service.
        found["paused"] = Pause.objects.exists()
    return JsonResponse(found, status=200 if ready else 503)


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """For whoever has METRICS_TOKEN; without such a token there is nothing here."""
    if not settings.METRICS_TOKEN:
        return problem_page(request, ProblemError("not_found"))
    sent = request.headers.get("Authorization", "").encode()
    if not compare_digest(sent, f"Bearer {settings.METRICS_TOKEN}".encode()):
        return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"})
    return HttpResponse(gauges.exposition(), content_type="text/plain; version=0.0.4; charset=utf-8")
