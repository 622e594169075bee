"""OAuth 2.0 resource owner password credentials grant (RFC 6749, section 4.3).

RFC 9700, section 2.4, forbids it; here for providers that offer nothing better.
"""

from oauthlib.oauth2 import LegacyApplicationClient

from connectors.manifest import AuthMethod
from installations.auth.token import Token
from installations.auth.token_endpoint import Client, Keep
from installations.values import fill


class Password:
    def obtain(
        self,
        method: AuthMethod,
        values: dict[str, str],
        scopes: list[str],
        wanted: tuple[str, ...] = (),
        keep: Keep | None = None,
    ) -> Token:
        """Raises TokenError."""
        client = Client(method, values, LegacyApplicationClient(fill(method.client_id, values)), keep=keep)
        password = fill(method.password, values)
        scope = {"scope": method.scope_separator.join(scopes)} if scopes else {}
        return client.ask(
            username=fill(method.username, values),
            password=password,
            secrets=(password,),
            wanted=wanted,
            **scope,
        )
