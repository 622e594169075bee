"""Auth methods, each a class in a module named by its grant.

They know protocol and never rows: plain values in, a Token out.
"""

from connectors.manifest import AuthMethod
from installations.auth.api_key import ApiKey
from installations.auth.authorization_code import AuthorizationCode
from installations.auth.token import Token

METHODS = {"api_key": ApiKey, "authorization_code": AuthorizationCode}


def signed_headers(method: AuthMethod, token: Token) -> dict[str, str]:
    """The headers that carry the token, as the connector defines them."""
    return {method.header: method.header_value.replace("${access_token}", token.access_token)}
