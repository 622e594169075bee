"""`…/installations/{id}/proxy/…`: the partner's own software calls the provider by way of the console."""

from uuid import UUID

from django.http import HttpRequest, HttpResponseBase
from ninja import Router

from console.bearer import authenticate, scope
from console.contract import responses
from console.problems import ProblemError
from installations.api.installations import ONE
from installations.proxying import asked, calling, found
from installations.proxying.answered import answered

router = Router(tags=["Proxy"])


def pass_on(request: HttpRequest, installation_id: UUID, rest: str) -> HttpResponseBase:
    """The provider's answer to what the caller asks, which then says `Via`.

    Nothing may have read the request's body before.
    """
    # The line that the log has of every request says it.
    request.installation_id = installation_id
    try:
        wanted = asked.read(request, rest)
        row = found.find(request.principal, installation_id)
        request.names = {"connector": row.fresh.definition.name}
        room = calling.Room(request.principal.partner_id, installation_id)
        try:
            response = answered(request, calling.call(row, wanted), room)
        except BaseException:
            room.leave()
            raise
    except asked.CallerGone:
        # Nobody hears it; the provider got no whole request.
        raise ProblemError("proxy_request_refused", words="the body ends before its end") from None
    response.is_of_provider = True
    return response


def proxy(request: HttpRequest, installation_id: UUID, rest: str = "") -> HttpResponseBase:
    """Every method there is, those of WebDAV as well; the library that serves the API knows seven."""
    authenticate(request, "proxy")
    return pass_on(request, installation_id, rest)


# ── for the API's document ──────────────────────────────────────────────────────────────────────

_ABOUT = (
    "The path goes behind the address where the provider's API begins; query, headers and body are passed "
    "on, and the credential is added. What the provider answers comes back as it is, errors too: a problem "
    "whose type leads to this console is ours. `Partner-Console-Retries: 1` to `3` repeats what changes "
    "nothing."
)
for _method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
    router.api_operation(
        [_method],
        ONE + "/proxy/{path:rest}",
        response=responses(None, 404, 409, 413, 502, 503, 504),
        auth=scope("proxy"),
        operation_id=f"proxy_{_method.lower()}",
        summary=f"{_method} something at the provider",
        description=_ABOUT,
    )(pass_on)
