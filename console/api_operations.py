"""How an operation of the API is declared: where it is found, who may call it, and what is said of it."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja.params.models import Query as QueryParam

from console.bearer import scope
from console.contract import responses
from console.problems import ProblemError


def _query_of(function: Callable) -> set[str]:
    """The names of the parameters that an operation takes in its query."""
    taken = set()
    for name, parameter in inspect.signature(function).parameters.items():
        found = parameter.annotation
        kind = getattr(found, "__metadata__", (None,))[0]
        if isinstance(kind, QueryParam):
            taken |= found.__origin__.model_fields.keys()
        elif parameter.default is not parameter.empty:
            taken.add(name)
    return taken


def operation(
    route: Callable, path: str, needs: str, schema: Any, *problems: int, status: int = 200
) -> Callable[[Callable], Callable]:
    """Let a function answer at `route` (`router.get`) for keys with the scope that it `needs`.

    Its name is the operation's id, for ever. Its docstring's first line is the summary of it, and what
    comes after is its description. `schema`, `problems` and `status` as in `responses`.
    """

    def declared(function: Callable) -> Callable:
        taken = _query_of(function)

        @wraps(function)
        def wrapper(request: HttpRequest, *args, **kwargs) -> HttpResponse:
            if strays := sorted(request.GET.keys() - taken):
                # A filter that is mistyped is not "all".
                said = f"There is no such parameter; there are {', '.join(sorted(taken)) or 'none'}."
                errors = [{"pointer": name[:100], "detail": said} for name in strays]
                raise ProblemError("invalid_request", errors=errors[:10])
            return function(request, *args, **kwargs)

        summary, _, description = inspect.getdoc(function).partition("\n\n")
        declare = route(
            path,
            response=responses(schema, *problems, status=status),
            auth=scope(needs),
            operation_id=function.__name__,
            summary=summary.removesuffix("."),
            # As `description` the library would take the whole docstring in place of none.
            openapi_extra={"description": " ".join(description.split())},
        )
        return declare(wrapper)

    return declared
