"""Put a credential into a request, as the connector defines it."""

import json
from urllib.parse import unquote_plus, urlencode

from requests import PreparedRequest
from requests.auth import HTTPBasicAuth
from requests.structures import CaseInsensitiveDict
from requests_oauthlib import OAuth1

from connectors.manifest import AuthMethod
from installations.auth.aws_signature import AwsSignature
from installations.values import BadValue, fill


def sign(request: PreparedRequest, method: AuthMethod, values: dict[str, str]) -> None:
    """Add what the credential is to headers, query and body. `values` hold the token's own besides.

    Raises values.BadValue where a value does not go into a header, or a body is of another form.
    """
    for name, template in method.inject.headers.items():
        if text := fill(template, values):
            request.headers[name] = text
    parameters = {name: fill(template, values) for name, template in method.inject.query.items()}
    if query := {name: text for name, text in parameters.items() if text}:
        request.url += ("&" if "?" in request.url else "?") + urlencode(query)
    if method.inject.body and request.method not in _WITHOUT_BODY and request.body is not NOT_HELD:
        members = {name: fill(template, values) for name, template in method.inject.body.items()}
        _add_to_body(request, {name: text for name, text in members.items() if text})
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


def _add_to_body(request: PreparedRequest, members: dict[str, str]) -> None:
    """In front of what is there, which stays as it was written. Raises values.BadValue."""
    body = request.body or b""
    kind = request.headers.get("Content-Type", "application/json").partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        names = {unquote_plus(pair.partition("=")[0]) for pair in body.decode("latin-1").split("&")}
        added = b"&".join(filter(None, (urlencode(members).encode(), body)))
    elif kind == "application/json" or kind.endswith("+json"):
        try:
            data = json.loads((body or b"{}").decode("utf-8"))
        except (ValueError, RecursionError):
            data = None
        if not isinstance(data, dict):
            raise BadValue("the credential goes into the body, which must be an object in JSON")
        names, rest = set(data), body.partition(b"{")[2] or b"}"
        added = json.dumps(members).encode()[:-1] + (b", " if data else b"") + rest
        request.headers["Content-Type"] = request.headers.get("Content-Type", kind)
    else:
        raise BadValue("the credential goes into the body, which must be JSON or a form")
    if taken := sorted(names & set(members)):
        raise BadValue(f"{taken[0]} in the body is the credential's")
    request.body = added
    request.headers["Content-Length"] = str(len(added))


# RFC 9110, section 9.3: a body of these means nothing.
_WITHOUT_BODY = {"GET", "HEAD", "OPTIONS"}
# In the place of a body that is not held, and so cannot be signed.
NOT_HELD = object()


def signed(
    method: AuthMethod, values: dict[str, str], verb: str, url: str, headers: dict[str, str], body: object
) -> tuple[str, dict[str, str], object]:
    """The address, the headers and the body of a request with the credential in them.

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
    return request.url, dict(request.headers), request.body
