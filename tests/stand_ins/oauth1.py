"""A provider's side of OAuth 1.0a (RFC 5849): it believes no request whose signature is not its own.

The signature is made here once more from the text of section 3.4, not by the library that the product signs
with: the two would agree on a mistake.
"""

import hashlib
import hmac
import re
import secrets
from base64 import b64encode
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from tests.stand_ins.quirks import Request, answer

HASHES = {"HMAC-SHA1": hashlib.sha1, "HMAC-SHA256": hashlib.sha256}
FORM = "application/x-www-form-urlencoded"


def authorization(request: Request) -> dict[str, str]:
    """The parameters of the header Authorization (section 3.5.1); a doubled one stands here as ""."""
    scheme, _, rest = request.headers.get("authorization", "").partition(" ")
    pairs = re.findall(r'([a-zA-Z0-9_]+)="([^"]*)"', rest) if scheme == "OAuth" else []
    found = {unquote(name): unquote(text) for name, text in pairs}
    return {name: text if [n for n, _ in pairs].count(name) == 1 else "" for name, text in found.items()}


def _encoded(text: str) -> str:
    """Section 3.6."""
    return quote(text, safe="-._~")


def base_string(request: Request, given: dict[str, str]) -> str:
    """Section 3.4.1: the method, the address without its query, and every parameter, sorted."""
    parts = urlsplit(request.target)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    if request.headers.get("content-type", "").startswith(FORM):
        pairs += parse_qsl(request.body.decode(), keep_blank_values=True)
    pairs += [(name, text) for name, text in given.items() if name not in ("realm", "oauth_signature")]
    normalised = "&".join(
        f"{name}={text}" for name, text in sorted((_encoded(n), _encoded(t)) for n, t in pairs)
    )
    address = f"https://{request.headers['host'].lower()}{parts.path}"
    return "&".join(map(_encoded, (request.method.upper(), address, normalised)))


def signature(request: Request, given: dict[str, str], consumer_secret: str, token_secret: str) -> str:
    """Section 3.4.2, and the same with the hash that providers have moved on to."""
    key = f"{_encoded(consumer_secret)}&{_encoded(token_secret)}".encode()
    digest = hmac.new(key, base_string(request, given).encode(), HASHES[given["oauth_signature_method"]])
    return b64encode(digest.digest()).decode()


@dataclass
class Temporary:
    secret: str
    callback: str
    verifier: str = ""


class OAuth1Server:
    """The endpoints of section 2 and the check of section 3.2; `asked` and `exchanged` count the calls."""

    def __init__(self, consumer_key: str, consumer_secret: str, signature_method: str = "HMAC-SHA1"):
        self.consumer_key, self.consumer_secret = consumer_key, consumer_secret
        self.signature_method = signature_method
        self.confirms = "true"
        self.temporary: dict[str, Temporary] = {}
        # The token credentials that were given out, secrets by tokens.
        self.tokens: dict[str, str] = {}
        self.nonces: set[str] = set()
        self.asked = self.exchanged = 0

    def fault(self, request: Request, token: str = "", token_secret: str = "") -> str:
        """What is wrong with a signed request; "" where nothing is."""
        given = authorization(request)
        if given.get("oauth_consumer_key") != self.consumer_key:
            return "invalid key"
        if given.get("oauth_signature_method") != self.signature_method:
            return "another signature method"
        if given.get("oauth_token", "") != token:
            return "invalid token"
        if not given.get("oauth_timestamp", "").isdigit() or given.get("oauth_version", "1.0") != "1.0":
            return "no timestamp, or another version"
        if not given.get("oauth_nonce") or given["oauth_nonce"] in self.nonces:
            return "a nonce for the second time"
        self.nonces.add(given["oauth_nonce"])
        expected = signature(request, given, self.consumer_secret, token_secret)
        return "" if hmac.compare_digest(given.get("oauth_signature", ""), expected) else "invalid signature"

    def gives_temporary_credentials(self, request: Request) -> bytes:
        """Section 2.1."""
        self.asked += 1
        callback = authorization(request).get("oauth_callback", "")
        if fault := self.fault(request) or ("" if callback else "no callback"):
            return answer(fault, status="401 Unauthorized", content_type="text/plain")
        token = f"temporary-{secrets.token_hex(8)}"
        self.temporary[token] = Temporary(f"temporary-secret-{secrets.token_hex(8)}", callback)
        return self._credentials(token, self.temporary[token].secret, oauth_callback_confirmed=self.confirms)

    def allows(self, location: str) -> str:
        """Section 2.2: where the browser is led after somebody has agreed at this address."""
        token = dict(parse_qsl(urlsplit(location).query))["oauth_token"]
        found = self.temporary[token]
        found.verifier = secrets.token_hex(8)
        return self.leads_back(token, oauth_token=token, oauth_verifier=found.verifier)

    def leads_back(self, token: str, **parameters: str) -> str:
        callback = self.temporary[token].callback
        return f"{callback}{'&' if '?' in callback else '?'}{urlencode(parameters)}"

    def gives_token_credentials(self, request: Request) -> bytes:
        """Section 2.3: once for each temporary token, to whoever knows its secret and the verifier."""
        self.exchanged += 1
        given = authorization(request)
        found = self.temporary.get(given.get("oauth_token", ""))
        fault = self.fault(request, given["oauth_token"], found.secret) if found else "invalid token"
        if not fault and (not found.verifier or given.get("oauth_verifier") != found.verifier):
            fault = "invalid verifier"
        if fault:
            return answer(fault, status="401 Unauthorized", content_type="text/plain")
        del self.temporary[given["oauth_token"]]
        token = "test-token" if "test-token" not in self.tokens else f"token-{secrets.token_hex(8)}"
        self.tokens[token] = f"token-secret-{secrets.token_hex(8)}"
        return self._credentials(token, self.tokens[token])

    def refuses(self, request: Request) -> str:
        """What is wrong with a request for a resource (section 3.2)."""
        token = authorization(request).get("oauth_token", "")
        return self.fault(request, token, self.tokens[token]) if token in self.tokens else "invalid token"

    def _credentials(self, token: str, secret: str, **more: str) -> bytes:
        pairs = {"oauth_token": token, "oauth_token_secret": secret, **more}
        return answer(urlencode({name: text for name, text in pairs.items() if text}), content_type=FORM)
