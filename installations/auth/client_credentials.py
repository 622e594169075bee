"""OAuth 2.0 client credentials grant (RFC 6749, section 4.4)."""

from oauthlib.oauth2 import BackendApplicationClient

from connectors.manifest import AuthMethod
from installations.auth.token import Token
from installations.auth.token_endpoint import Client, Keep
from installations.values import fill


class ClientCredentials:
    def obtain(
        self,
        method: AuthMethod,
        values: dict[str, str],
        scopes: list[str],
        wanted: tuple[str, ...] = (),
        keep: Keep | None = None,
    ) -> Token:
        """Raises TokenError."""
        client = Client(method, values, BackendApplicationClient(fill(method.client_id, values)), keep=keep)
        scope = {"scope": method.scope_separator.join(scopes)} if scopes else {}
        return client.ask(wanted=wanted, **scope)
