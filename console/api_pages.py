"""The pages about the API: the reference, and what each of its problems means."""

import re
from http import HTTPStatus

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
_STAND_FOR = {"connector": "Heartland Retail", "partner": "your company"}
# What another request mends, whatever an installation holds.
CALLERS = {
    *(code for code, problem in API_PROBLEMS.items() if problem.mended_by == CUSTOMER),
    "not_found",
    "not_renewable",
    "too_many_tries",
    "webhook_endpoint_off",
}
_CALLER = "Whoever calls, by another request."
_MENDED_BY = {
    CUSTOMER: "Whoever authorises or enters the values: the customer, or you for them.",
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
        {
            "code": code,
            "status": problem.status,
            "heading": f"{problem.status} {HTTPStatus(problem.status).phrase}",
            **_said(code, problem),
        }
        for code, problem in PROBLEMS.items()
        if code not in PAGES_ALONE
    ]
    found.sort(key=lambda problem: (problem["status"], problem["code"]))
    return render(request, "console/api_problems.html", {"problems": found, **_STAND_FOR})


def _said(code: str, problem: Problem) -> dict[str, str]:
    return {
        "title": _general(problem.title),
        "what": _general(problem.what),
        "mended_by": _CALLER if code in CALLERS else _MENDED_BY[problem.mended_by],
    }


def _general(text: str) -> str:
    """The text with names that stand for any."""
    filled = text.format(**_STAND_FOR)
    return re.sub(r"(^|[.:] )your ", lambda found: f"{found[1]}Your ", filled)
