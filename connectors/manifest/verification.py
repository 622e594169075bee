"""How a credential is proven, and where its account lives."""

from typing import Annotated, Literal, Self

from pydantic import Discriminator, StringConstraints, Tag, model_validator

from connectors.manifest.vocabulary import Filled, HttpsTemplate, Name, Part, Path, Pattern, Whole


class Discovery(Part):
    """How the credential itself tells where its account lives."""

    url: HttpsTemplate
    # In an answer that says with status 200 that it is an error, and the codes that mean the credential.
    error: Path | Literal[""] = ""
    rejected: tuple[str, ...] = ()
    key: Path
    property: Name
    pattern: Annotated[Pattern, StringConstraints(min_length=1)]
    # Built from the fallback property where the look-up fails; blank: nobody knows it by heart.
    fallback_template: Filled = ""


class HttpVerification(Part):
    """The call that asks "who am I?" and where its answer says it; of several places the first counts."""

    type: Literal["http"] = "http"
    method: Literal["GET", "POST"] = "GET"
    url: HttpsTemplate
    headers: dict[str, Filled] = {}
    # Of a POST. Placeholders are escaped for the format that they stand in.
    body: Filled = ""
    body_format: Literal["json", "form", "xml"] = "json"
    # Besides 401: what this call answers to a credential that does not work.
    rejected_status: tuple[Whole, ...] = ()
    # In an answer that says with status 200 that it is an error: what must not be false, and the codes
    # that mean the credential.
    ok: Path | Literal[""] = ""
    error: Path | Literal[""] = ""
    rejected: tuple[str, ...] = ()
    # For an answer that is not JSON: what its text must hold.
    success_pattern: Pattern = ""
    # A path, or a template of properties. Blank: the provider does not tell.
    account_id: Filled = ""
    account_name: tuple[Path, ...] = ()
    account_name_url: HttpsTemplate | Literal[""] = ""
    account_name_key: Path | Literal[""] = ""
    user_name: tuple[Path, ...] = ()

    @model_validator(mode="after")
    def _body_of_a_post(self) -> Self:
        if self.body and self.method != "POST":
            raise ValueError("only a POST has a body")
        return self

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(filter(None, (self.url, self.account_name_url)))

    @property
    def templates(self) -> tuple[str, ...]:
        account = (self.account_id,) if "$" in self.account_id else ()
        return (*self.urls, *self.headers.values(), self.body, *account)


class SignInVerification(Part):
    """A server that speaks a protocol of its own is signed in to, and nothing is asked of it."""

    type: Literal["sign_in"]
    protocol: Literal["postgresql", "mysql", "sftp"]
    # Not filled in where there is a tunnel: then an answer of the tunnel's server is all that is checked.
    host: Filled
    port: Filled
    tunnel_host: Filled = ""
    tunnel_port: Filled = ""
    database: Filled = ""
    username: Filled
    password: Filled = ""
    private_key: Filled = ""
    passphrase: Filled = ""
    # true or false, or MySQL's own words for it; `authority` is a certificate, blank for the public ones.
    tls: Filled = ""
    authority: Filled = ""
    account_id: Filled

    @property
    def urls(self) -> tuple[str, ...]:
        return ()

    @property
    def templates(self) -> tuple[str, ...]:
        return tuple(
            getattr(self, name) for name in type(self).model_fields if name not in ("type", "protocol")
        )


class TcpVerification(Part):
    """For what does not speak HTTP: that a server answers there. The credential is not proven by it."""

    type: Literal["tcp"]
    host: Filled
    port: Filled
    account_id: Filled = ""

    @property
    def urls(self) -> tuple[str, ...]:
        return ()

    @property
    def templates(self) -> tuple[str, ...]:
        return (self.host, self.port, self.account_id)


def _type_of(data) -> str:
    return data.get("type", "http") if isinstance(data, dict) else getattr(data, "type", "http")


Verification = Annotated[
    Annotated[HttpVerification, Tag("http")]
    | Annotated[SignInVerification, Tag("sign_in")]
    | Annotated[TcpVerification, Tag("tcp")],
    Discriminator(_type_of),
]
