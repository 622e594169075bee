"""What can go wrong, said to the person who meets it.

Each problem says what happened, who can mend it, and what to do next. The page adds one button, a
reference number that stands in the record and in the log, and the provider's own words behind a
toggle. In the texts, {connector} and {partner} are filled in.
"""

import json
import math
from datetime import timedelta
from html import escape
from urllib.parse import quote, quote_plus

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from console.problems.api_texts import API_PROBLEMS
from console.problems.texts import CUSTOMER, OPERATOR, PARTNER, PROBLEMS, PROVIDER, Problem

__all__ = ["PROBLEMS", "Problem", "ProblemError", "hide", "mended_by", "problem_json", "problem_page"]

PROBLEMS |= API_PROBLEMS


def hide(words: str, *secrets: str) -> str:
    """The other side's words without our secrets, which some repeat. To be done before they are cut off."""
    for secret in filter(None, secrets):
        forms = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), escape(secret)}
        forms |= {json.dumps(secret, ensure_ascii=plain)[1:-1] for plain in (True, False)}
        # Some write slashes in JSON so.
        forms |= {form.replace("/", "\\/") for form in forms}
        for form in sorted(forms, key=len, reverse=True):
            words = words.replace(form, "•••")
    return words


class ProblemError(Exception):
    """A step that cannot go on. Becomes the problem's page, or a message where a page stays open.

    `words` are the provider's own, shortened and without control characters; never a secret. `errors` say
    of an API request what is wrong where: [{"pointer": "#/name", "detail": "…"}].
    """

    def __init__(
        self,
        code: str,
        *,
        words: str = "",
        retry_after: timedelta | None = None,
        errors: list[dict[str, str]] | None = None,
    ):
        super().__init__(code)
        self.errors = errors or []
        self.code = code
        # How long it makes sense to wait, where that is known.
        self.retry_after = retry_after
        self.words = "".join(c if c.isprintable() else " " for c in words)[:200]

    @property
    def problem(self) -> Problem:
        return PROBLEMS[self.code]

    def sentence(self, **names: str) -> str:
        """The problem in one plain sentence, for lists and messages."""
        return f"{self.problem.title}.".format(**names)


def mended_by(problem: Problem, connector: str, partner: str, *, own: bool = False) -> str:
    """Who can mend it, in a sentence. `own`: whoever reads this, whoever it usually is."""
    return {
        CUSTOMER: "You can, here and now.",
        PARTNER: f"{partner[0].upper()}{partner[1:]} can. Give them the reference below.",
        PROVIDER: f"{connector} can. Usually it is over within minutes.",
        OPERATOR: "Whoever runs this console can. Give them the reference below.",
    }[CUSTOMER if own else problem.mended_by]


_MENDED_IN_SETTINGS = {"mended_by": "You can, under the connector's Settings.", "action": "Open Settings"}


def problem_page(
    request: HttpRequest,
    error: ProblemError,
    *,
    connector: str = "The application",
    partner: str = "the company that sent you",
    action_url: str = "/",
    own: bool = False,
    settings_url: str = "",
    bare: bool = False,
    **context,
) -> HttpResponse:
    """The page for a problem. The caller records it, under `request.reference`.

    `own`: whoever reads this can mend it, whoever it usually is; with `settings_url` it is mended there. A
    `bare` page is made without the request's session, user and messages.
    """
    problem = error.problem
    names = {"connector": connector, "partner": partner}
    context |= {
        "title": problem.title.format(**names),
        "what": problem.what.format(**names),
        "mended_by": mended_by(problem, connector, partner, own=own),
        "action": problem.action,
        "action_url": action_url,
        **(_MENDED_IN_SETTINGS | {"action_url": settings_url} if settings_url else {}),
        "words": error.words,
        "code": error.code,
        "reference": request.reference,
    }
    context.setdefault("base_template", "base_plain.html")
    return render(None if bare else request, "problem.html", context, status=problem.status)


def problem_type(code: str) -> str:
    """The URI that names a problem for ever, and leads to what it means."""
    return f"{settings.BASE_URL}/api/problems/#{code}"


# RFC 6750, section 3.1: what came without a key is told of no error.
_BEARER_ERRORS = {"key_missing": "", "scope_missing": ', error="insufficient_scope"'}


def problem_json(
    error: ProblemError,
    reference: str,
    *,
    connector: str = "The application",
    partner: str = "the company",
) -> HttpResponse:
    """The problem for a program (RFC 9457). `detail` is for whoever reads its log."""
    problem, names = error.problem, {"connector": connector, "partner": partner}
    body = {
        "type": problem_type(error.code),
        "title": problem.title.format(**names),
        "status": problem.status,
        "detail": problem.what.format(**names),
        "code": error.code,
        "request_id": reference,
    }
    if error.words:
        body["words"] = error.words
    if error.errors:
        body["errors"] = error.errors
    response = HttpResponse(
        json.dumps(body, ensure_ascii=False), content_type="application/problem+json", status=problem.status
    )
    if error.retry_after is not None:
        response["Retry-After"] = str(max(1, math.ceil(error.retry_after.total_seconds())))
    if problem.status == 401 or error.code in _BEARER_ERRORS:
        said = _BEARER_ERRORS.get(error.code, ', error="invalid_token"')
        response["WWW-Authenticate"] = f'Bearer realm="Partner Console"{said}'
    return response
