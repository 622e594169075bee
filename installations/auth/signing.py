"""Put a credential into a request, as the connector defines it."""

from urllib.parse import urlencode

from requests import PreparedRequest
from requests.auth import HTTPBasicAuth
from requests.structures import CaseInsensitiveDict
from requests_oauthlib import OAuth1

from connectors.manifest import AuthMethod
from installations.auth.aws_signature import AwsSignature
from installations.values import BadValue, fill


def sign(request: PreparedRequest, method: AuthMethod, values: dict[str, str]) -> None:
    """Add the headers and the query of the credential. `values` hold the token's own besides.

    Raises values.BadValue where a value does not go into a header.
    """
    for name, template in method.inject.headers.items():
        if text := fill(template, values):
            request.headers[name] = text
    parameters = {name: fill(template, values) for name, template in method.inject.query.items()}
    if query := {name: text for name, text in parameters.items() if text}:
        request.url += ("&" if "?" in request.url else "?") + urlencode(query)
    if method.type == "http_basic":
        username, password = fill(method.username, values), fill(method.password, values)
        # As bytes: requests would encode text as Latin-1 (RFC 7617, section 2.1, wants UTF-8).
        HTTPBasicAuth(username.encode(), password.encode())(request)
    if method.type == "aws_signature":
        AwsSignature(fill(method.access_key_id, values), fill(method.secret_access_key, values))(request)
    if method.type in ("oauth1", "oauth1_redirection"):
        OAuth1(
            fill(method.consumer_key, values),
            fill(method.consumer_secret, values),
            fill(method.token, values),
            fill(method.token_secret, values),
            signature_method=method.signature_method,
            realm=fill(method.realm, values),
        )(request)


# In the place of a body that is not held, and so cannot be signed.
NOT_HELD = object()


def signed(
    method: AuthMethod, values: dict[str, str], verb: str, url: str, headers: dict[str, str], body: object
) -> tuple[str, dict[str, str]]:
    """The address and the headers of a request with the credential in them.

    `body` are bytes, None, or NOT_HELD. Raises values.BadValue.
    """
    request = PreparedRequest()
    request.method, request.url, request.body = verb, url, body
    request.headers = CaseInsensitiveDict(headers)
    try:
        sign(request, method, values)
    except ValueError as error:
        # Of the signing library: a form that is none, a query with characters that must be encoded.
        raise BadValue("the request cannot be signed as it is") from error
    return request.url, dict(request.headers)
