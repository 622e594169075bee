"""The pages about the API: the reference, and what each of its problems means."""

import re

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from console.api_reference import reference as read_reference
from console.problems import PROBLEMS
from console.problems.api_texts import API_PROBLEMS
from console.problems.texts import CUSTOMER, OPERATOR, PARTNER, PROVIDER, Problem
from console.tenancy import partner_member

# What only pages say: setup links, consent in a browser, signing in.
PAGES_ALONE = {
    *(code for code in PROBLEMS if code.startswith(("attempt_", "link_"))),
    "access_denied",
    "bad_request",
    "form_expired",
    "no_partner",
    "not_allowed",
    "not_staff",
    "server_error",
    "wrong_method",
}
_MENDED_BY = {
    CUSTOMER: "The customer whose connection it is, or whoever enters its values.",
    PARTNER: "Whoever manages the keys and settings of the company in this console.",
    PROVIDER: "Time, or the provider: try again later.",
    OPERATOR: "Whoever runs this console.",
}


@require_safe
@partner_member
def reference(request: HttpRequest) -> HttpResponse:
    return render(request, "console/api_reference.html", {"reference": read_reference()})


@require_safe
def problems(request: HttpRequest) -> HttpResponse:
    """To each `type` of a problem the text that it leads to."""
    found = [
        {"code": code, "status": problem.status, **_said(code, problem)}
        for code, problem in PROBLEMS.items()
        if code not in PAGES_ALONE
    ]
    found.sort(key=lambda problem: (problem["status"], problem["code"]))
    return render(request, "console/api_problems.html", {"problems": found})


def _said(code: str, problem: Problem) -> dict[str, str]:
    is_callers = code in API_PROBLEMS and problem.mended_by == CUSTOMER
    return {
        "title": _general(problem.title),
        "what": _general(problem.what),
        "mended_by": "Whoever calls, by another request." if is_callers else _MENDED_BY[problem.mended_by],
    }


def _general(text: str) -> str:
    """The text of no application and no company in particular."""
    filled = text.format(connector="the application", partner="the company")
    return re.sub(r"(^|[.:] )the ", lambda found: f"{found[1]}The ", filled)
