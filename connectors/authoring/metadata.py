"""From an authorization server's metadata to a connector to begin with.

RFC 8414, and OpenID Connect Discovery 1.0, section 4, which came first and says nearly the same.
"""

import re
from typing import Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

from connectors.authoring import documents
from connectors.authoring.documents import BadDocument
from connectors.authoring.sketch import Sketch, literally

_WELL_KNOWN = "/.well-known/"
_CLIENT_METHODS = ["client_secret_basic", "client_secret_post", "none"]
FEW_SCOPES, AT_MOST = 6, 500


def fetch(address: str) -> dict:
    """The metadata of an issuer, or at its own address. Raises BadDocument with what was tried."""
    address = address.strip().rstrip("/")
    tried = []
    for url in _addresses(address):
        try:
            found = documents.parse(documents.fetch(url))
        except BadDocument as error:
            tried.append(str(error))
            continue
        _check_issuer(found, address)
        return found
    raise BadDocument("No metadata was found. " + " ".join(tried))


def _addresses(address: str) -> list[str]:
    """RFC 8414, section 3.1, puts the well-known part before the issuer's path; OpenID behind it."""
    parts = _parts(address)
    if _WELL_KNOWN in parts.path:
        return [address]
    before = urlunsplit(
        (parts.scheme, parts.netloc, f"{_WELL_KNOWN}oauth-authorization-server{parts.path}", "", "")
    )
    return [before, f"{address}{_WELL_KNOWN}openid-configuration"]


def _check_issuer(found: dict, address: str) -> None:
    """RFC 8414, section 3.3: the issuer is who was asked, so that nobody speaks for somebody else."""
    issuer = found.get("issuer")
    if not isinstance(issuer, str):
        raise BadDocument("The metadata names no issuer.")
    plain = issuer.rstrip("/")
    if plain != address and address not in _addresses(plain):
        raise BadDocument(f"The metadata at {address} is that of another issuer, {issuer[:200]}.")


def read(metadata: dict, *, name: str, base_url: str) -> Sketch:
    """`base_url` is where the API begins, which the metadata does not say. Raises BadDocument."""
    issuer = _text(metadata, "issuer")
    out = Sketch(name=name, base_url=base_url.rstrip("/"), website=f"https://{_parts(issuer).netloc}/")
    documentation = _text(metadata, "service_documentation")
    out.source = [documentation] if documentation.startswith("https://") else [issuer]
    grants = _texts(metadata, "grant_types_supported") or ["authorization_code"]
    shared = _shared(metadata, out)
    if "authorization_code" in grants and "code" in " ".join(
        _texts(metadata, "response_types_supported") or ["code"]
    ):
        out.authorization_code(
            authorization_endpoint=_endpoint(metadata, "authorization_endpoint"),
            **_redirect(metadata),
            **shared,
        )
    if "client_credentials" in grants:
        out.client_credentials(**shared)
    if not out.methods:
        raise BadDocument(
            f"The server offers {', '.join(grants)[:200]}. What is known here are authorization_code and "
            "client_credentials."
        )
    if userinfo := _text(metadata, "userinfo_endpoint"):
        out.verification = {
            "url": literally(userinfo),
            "account_id": "sub",
            "user_name": ["email", "preferred_username", "name"],
        }
    else:
        out.verification = {"url": out.base_url}
        out.unverified = ["Which call proves a credential; the address of the API stands in its place."]
    out.notes.insert(0, f"Made from the metadata of {issuer}: look at each line before you publish it.")
    return out


def _shared(metadata: dict, out: Sketch) -> dict[str, Any]:
    known = _texts(metadata, "token_endpoint_auth_methods_supported") or ["client_secret_basic"]
    usable = [way for way in _CLIENT_METHODS if way in known]
    if not usable:
        raise BadDocument(f"Clients prove who they are by {', '.join(known)[:200]}, which is not known here.")
    scopes = _texts(metadata, "scopes_supported")
    chosen = [scope for scope in ("openid", "profile", "email", "offline_access") if scope in scopes]
    if scopes and not chosen:
        chosen = scopes if len(scopes) <= FEW_SCOPES else []
    if left := [scope for scope in scopes if scope not in chosen]:
        out.notes.append(f"Further scopes: {', '.join(left)[:1500]}")
    return {
        "token_endpoint": _endpoint(metadata, "token_endpoint"),
        "token_endpoint_auth_method": usable[0],
        "default_scopes": [literally(scope) for scope in chosen],
    }


def _redirect(metadata: dict) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if "S256" not in (_texts(metadata, "code_challenge_methods_supported") or ["S256"]):
        options["no_pkce"] = "The server's metadata does not list S256."
    if metadata.get("authorization_response_iss_parameter_supported") is True:
        options["issuer"] = _text(metadata, "issuer")
    if metadata.get("revocation_endpoint"):
        options["revocation_endpoint"] = _endpoint(metadata, "revocation_endpoint")
    return options


def _endpoint(metadata: dict, name: str) -> str:
    found = _text(metadata, name)
    if not found.startswith("https://"):
        raise BadDocument(f"The metadata has no {name} of https.")
    return literally(found)


def _parts(address: str) -> SplitResult:
    try:
        parts = urlsplit(address)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme != "https" or not parts.netloc:
        raise BadDocument(f"{address[:200]!r} is no address that begins with https://")
    return parts


def _text(metadata: dict, name: str) -> str:
    value = metadata.get(name)
    return value.strip() if isinstance(value, str) and value.isprintable() else ""


def _texts(metadata: dict, name: str) -> list[str]:
    """Names of scopes, grants and methods: what RFC 6749, appendix A, allows in them, and no quotes."""
    value = metadata.get(name)
    texts = [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
    return [text for text in texts[:AT_MOST] if re.fullmatch(r"[\x21\x23-\x5b\x5d-\x7e ]{1,200}", text)]
