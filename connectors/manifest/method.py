"""What every way to authenticate has, and what those have that ask for scopes."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from connectors.manifest.verification import Verification
from connectors.manifest.vocabulary import Filled, Name, Part, Text


class Injection(Part):
    """Where the credential goes in every request to the provider. What would be empty is left out."""

    headers: dict[str, Filled] = {}
    query: dict[str, Filled] = {}
    # Members of a JSON body or of a form; of a request without a body where it could have one, too.
    body: dict[str, Filled] = {}

    @property
    def templates(self) -> tuple[str, ...]:
        return (*self.headers.values(), *self.query.values(), *self.body.values())


class Method(Part):
    """A way to authenticate, as far as all of them are alike."""

    key: Name = ""
    label: Text
    summary: Text
    help_anchors: tuple[str, ...] = ()
    # Values of the manifest's `method_property` that lead to this method.
    chosen_by: tuple[str, ...] = ()
    inject: Injection = Injection()
    # Where this way is proven otherwise than the others.
    verification: Verification | None = None

    @model_validator(mode="before")
    @classmethod
    def _named_by_its_type(cls, data):
        if isinstance(data, dict) and "key" not in data and "type" in data:
            data = {**data, "key": data["type"]}
        return data

    @property
    def templates(self) -> tuple[str, ...]:
        """All texts with placeholders."""
        return (*self.inject.templates, *(self.verification.templates if self.verification else ()))

    @property
    def urls(self) -> tuple[str, ...]:
        return self.verification.urls if self.verification else ()

    @property
    def is_interactive(self) -> bool:
        return False

    @property
    def is_oauth(self) -> bool:
        return False

    @property
    def granted(self) -> set[str]:
        """Placeholders that no property fills in, but what this method obtains."""
        return set()

    @property
    def client(self) -> tuple[str, ...]:
        """The templates of a client registration: who asks, and what proves it."""
        return ()


class ScopedMethod(Method):
    """A method that may ask for some rights and not for others."""

    default_scopes: tuple[Annotated[Filled, Field(min_length=1)], ...] = ()
    scope_separator: Literal[" ", ","] = " "
    # What a scope allows, in plain words, for the person who is asked.
    scope_labels: dict[str, Text] = {}

    @property
    def templates(self) -> tuple[str, ...]:
        return (*super().templates, *self.default_scopes)
