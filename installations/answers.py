"""What an answer about consent says, each parameter read once and believed as little as possible."""

import secrets

from django.http import HttpRequest

from connectors.manifest import AuthMethod
from console.problems import ProblemError


def single(request: HttpRequest, name: str, limit: int) -> str:
    """A parameter that may come once (RFC 6749, section 3.1). "" where it is missing, doubled or too long."""
    values = request.GET.getlist(name)
    return values[0] if len(values) == 1 and len(values[0]) <= limit else ""


def code(request: HttpRequest, method: AuthMethod) -> str:
    """What is exchanged for a token, if it is there: a code (RFC 6749), a verifier (RFC 5849)."""
    return single(request, _code_param(method), 4096)


def is_about(request: HttpRequest, verifier: dict[str, str] | None) -> bool:
    """Whether the answer names the temporary credentials of the request, where it had some.

    RFC 5849, section 2.2: they come back beside the verifier. Without both, somebody declined.
    """
    asked = (verifier or {}).get("oauth_token", "")
    if not asked or ("oauth_token" not in request.GET and "oauth_verifier" not in request.GET):
        return True
    return secrets.compare_digest(single(request, "oauth_token", 4096).encode(), asked.encode())


def check(request: HttpRequest, method: AuthMethod) -> None:
    """Raises ProblemError where the answer is not one that grants something."""
    if method.type == "oauth1_redirection":
        # No RFC says how a refusal looks: some name it, some only leave out the verifier.
        if "denied" in request.GET or not code(request, method):
            raise ProblemError("access_denied", words=single(request, "oauth_problem", 100))
        return
    _check_issuer(request, method.issuer)
    if "error" in request.GET:
        raise _provider_error(request)
    if not code(request, method):
        raise ProblemError("provider_answer_unreadable", words="the answer holds neither code nor error")


def _code_param(method: AuthMethod) -> str:
    return "oauth_verifier" if method.type == "oauth1_redirection" else method.code_param


def _check_issuer(request: HttpRequest, issuer: str) -> None:
    """RFC 9207, section 2.4: `iss` equals the issuer as plain text, and must come where one is set."""
    if issuer and request.GET.getlist("iss") != [issuer]:
        raise ProblemError("provider_answer_unreadable", words="the answer names another issuer")


def _provider_error(request: HttpRequest) -> ProblemError:
    """RFC 6749, section 4.1.2.1. An error beside a code counts as an error."""
    error = single(request, "error", 100)
    words = f"{error}: {single(request, 'error_description', 2000)}"
    if error == "access_denied":
        return ProblemError("access_denied", words=words)
    if error in ("server_error", "temporarily_unavailable"):
        return ProblemError("provider_unavailable", words=words)
    return ProblemError("configuration_refused", words=words)
