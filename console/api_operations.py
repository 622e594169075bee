"""How an operation of the API is declared: where it is found, who may call it, and what is said of it."""

import inspect
from collections.abc import Callable
from typing import Any

from console.bearer import scope
from console.contract import responses


def operation(
    route: Callable, path: str, needs: str, schema: Any, *problems: int, status: int = 200
) -> Callable[[Callable], Callable]:
    """Let a function answer at `route` (`router.get`) for keys with the scope that it `needs`.

    Its name is the operation's id, for ever. Its docstring's first line is the summary of it, and what
    comes after is its description. `schema`, `problems` and `status` as in `responses`.
    """

    def declared(function: Callable) -> Callable:
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
        return declare(function)

    return declared
