"""The answer about consent, as it arrives in the customer's browser."""

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_GET, require_safe

from console.problems import ProblemError, problem_page
from installations import authorization
from installations.entrances import quiet
from installations.wizard import walk_of


@require_GET
@quiet
def oauth_callback(request: HttpRequest, registration_id: UUID) -> HttpResponse:
    """Whatever comes, the way on is a 303 to an address without code and state."""
    try:
        row = authorization.answer(request, registration_id)
    except authorization.Refused as refused:
        authorization.record_refusal(refused, registration_id, request.reference)
        walk = refused.row and walk_of(refused.row)
        if walk is None:
            return _see_other(f"/oauth/problem/{refused.code}/{request.reference}/")
        if refused.code == "attempt_used" and walk.is_finished:
            return _see_other(walk.url("done"))
        return _see_other(walk.url(f"problem-{request.reference}"))
    walk = walk_of(row)
    # The cookie stays its ten minutes: whoever sends the answer twice is told how it ended.
    return _see_other(walk.url(walk.first_unfinished().slug))


def _see_other(url: str) -> HttpResponse:
    return HttpResponse(status=303, headers={"Location": url})


@require_safe
@quiet
def oauth_problem(request: HttpRequest, code: str, reference: str) -> HttpResponse:
    """For an answer whose setup we do not know, or must not tell this browser."""
    if code not in ("attempt_unknown", "attempt_other_browser", "attempt_revoked"):
        raise Http404(f"no problem {code}")
    request.reference = reference
    return problem_page(request, ProblemError(code))
