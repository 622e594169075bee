"""What a provider sends by itself: how it proves who it is, and where it says what happened."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from connectors.manifest.vocabulary import Line, Part, Path, SourceUrl, Text, Whole, names_in

Header = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9-]*$", max_length=60)]
# What a signature is made over: literal text, and these in braces.
Signed = Annotated[str, StringConstraints(pattern=r"^([^$]|\$\{(body|timestamp|url|method)\})+$")]


class Place(Part):
    """Where a request says something: in a header, or at a path of its JSON body."""

    header: Header | Literal[""] = ""
    path: Path | Literal[""] = ""

    @model_validator(mode="after")
    def _is_one_place(self) -> Self:
        if bool(self.header) == bool(self.path):
            raise ValueError("is either a header or a path")
        return self


class Timestamp(Part):
    """When the request was signed: in a header, in the JSON body, or in the signature's own header."""

    header: Header | Literal[""] = ""
    path: Path | Literal[""] = ""
    # Its name in the signature's header, where that is a list such as t=1492774577,v1=5257a869.
    key: str = ""
    form: Literal["seconds", "milliseconds", "iso8601"] = "seconds"
    # A request signed longer ago, or further ahead, is refused.
    tolerance_seconds: Whole = Field(default=300, gt=0, le=3600)

    @model_validator(mode="after")
    def _is_one_place(self) -> Self:
        if [bool(self.header), bool(self.path), bool(self.key)].count(True) != 1:
            raise ValueError("is a header, a path or a key")
        return self


class HmacSignature(Part):
    """HMAC-SHA256 (RFC 2104), its key the secret as it is written."""

    type: Literal["hmac"]
    header: Header
    # Where the header is a list such as t=1492774577,v1=5257a869: the signature's name in it.
    key: str = ""
    # What stands before the signature: "sha256=".
    prefix: str = ""
    encoding: Literal["hex", "base64"] = "hex"
    # What is signed, of ${body}, ${timestamp}, ${url} (the address that was registered) and ${method}.
    signed: Signed = "${body}"
    timestamp: Timestamp | None = None

    @model_validator(mode="after")
    def _signs_what_came(self) -> Self:
        names = names_in(self.signed)
        if "body" not in names:
            raise ValueError("signed must hold ${body}: anybody could change it otherwise")
        if "timestamp" in names and not self.timestamp:
            raise ValueError("signed holds ${timestamp}, and timestamp does not say where it stands")
        if self.timestamp and "timestamp" not in names and not self.timestamp.path:
            raise ValueError("timestamp is not signed, so it proves nothing")
        if self.timestamp and self.timestamp.key and not self.key:
            raise ValueError("timestamp has a key, and the signature has none")
        return self


class SharedToken(Part):
    """The secret itself, in a header: it says who sends, and not that nothing was changed."""

    type: Literal["token"]
    header: Header


class Echo(Part):
    """A signed request that is no event: whoever receives it answers with what stands at `answer`."""

    type: Literal["echo"]
    path: Path
    value: Line
    answer: Path


class Handshake(Part):
    """The first request brings the secret in a header, unsigned, and is answered with the same header."""

    type: Literal["handshake"]
    header: Header


class Ping(Part):
    """An unsigned form with this one field, sent when the address is registered; nothing is kept of it."""

    type: Literal["ping"]
    field: Line


class Secret(Part):
    """Who chooses the secret: the provider, who shows it and it is entered here, or we, and show it once."""

    by: Literal["provider", "us", "handshake"]
    # What the provider calls it.
    label: Line
    # Where to find it at the provider, or where to enter ours.
    description: Text


class Webhook(Part):
    """How a provider's webhooks are verified, told apart and named."""

    # The provider's page that says so.
    source: tuple[SourceUrl, ...] = Field(min_length=1)
    # Where at the provider an address is registered.
    register_at: Text
    # What a person has to know before registering it.
    note: Text | Literal[""] = ""
    signature: Annotated[HmacSignature | SharedToken, Field(discriminator="type")]
    secret: Secret
    challenge: Annotated[Echo | Handshake | Ping, Field(discriminator="type")] | None = None
    event_type: Place | None = None
    # The same for each try to deliver the same event; blank: what was signed tells them apart.
    delivery_id: Place | None = None

    @model_validator(mode="after")
    def _has_a_secret(self) -> Self:
        is_handshake = bool(self.challenge and self.challenge.type == "handshake")
        if (self.secret.by == "handshake") != is_handshake:
            raise ValueError("a secret by handshake needs the challenge handshake, and the other way round")
        return self
