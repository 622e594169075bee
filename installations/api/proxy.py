"""`…/installations/{id}/proxy/…`: the partner's own software calls the provider by way of the console."""

import logging
from uuid import UUID

from django.http import HttpResponseBase

from console.crypto import CannotOpen
from console.problems import ProblemError, problem_json
from console.tenancy import Principal
from installations.proxying import asked, calling, found
from installations.proxying.answered import answered

log = logging.getLogger("installations.proxy")


def pass_on(request, principal: Principal, installation_id: UUID, path: str) -> HttpResponseBase:
    """The provider's answer to what the caller asks, which then says `Via`, or the problem as JSON.

    `path` is what the route found behind `/proxy/`. Nothing may have read the request's body before.
    """
    # The line that the log has of every request says it.
    request.installation_id = installation_id
    names = {}
    try:
        wanted = asked.read(request, path)
        row = found.find(principal, installation_id)
        names = {"connector": row.definition.name}
        room = calling.Room(installation_id)
        try:
            return answered(request, calling.call(row, wanted), room)
        except BaseException:
            room.leave()
            raise
    except asked.CallerGone:
        # Nobody hears it; the provider got no whole request.
        problem = ProblemError("proxy_request_refused", words="the body ends before its end")
    except CannotOpen as error:
        log.error("%s", error)
        problem = ProblemError("stored_value_unreadable")
    except ProblemError as error:
        problem = error
    return problem_json(request, problem, **names)
