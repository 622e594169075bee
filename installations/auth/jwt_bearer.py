"""JWT bearer grant of a service account (RFC 7523, section 2.1), signed with RS256."""

from string import Template

from oauthlib.oauth2 import ServiceApplicationClient

from connectors.manifest import AuthMethod
from installations.auth.token import Token
from installations.auth.token_endpoint import Client, Keep
from installations.auth.token_response import TokenError
from installations.values import fill


class JwtBearer:
    def obtain(
        self,
        method: AuthMethod,
        values: dict[str, str],
        scopes: list[str],
        wanted: tuple[str, ...] = (),
        keep: Keep | None = None,
    ) -> Token:
        """Raises TokenError."""
        issuer, private_key = fill(method.issuer, values), Template(method.private_key).substitute(values)
        claims = {"scope": method.scope_separator.join(scopes)} if scopes else {}
        grant = ServiceApplicationClient(
            fill(method.client_id, values),
            private_key=private_key,
            subject=fill(method.subject, values) or issuer,
            issuer=issuer,
            audience=fill(method.audience, values),
        )
        client = Client(method, values, grant, keep=keep)
        try:
            return client.ask(secrets=(private_key,), wanted=wanted, extra_claims=claims)
        except (ValueError, TypeError) as error:
            # What the signing library says of a key that is none may repeat parts of it.
            raise TokenError("invalid_client", "the private key cannot be used") from error
