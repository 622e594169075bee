"""Storage in memory for the Authlib stand-in, in the shape Authlib asks for."""

import secrets
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin, TokenMixin

USERS = {
    "first": {
        "id": "user-1",
        "name": "Nadia Stern",
        "email": "nadia@first.example",
        "account": {"id": "account-1", "name": "First Street Books"},
    },
    "second": {
        "id": "user-2",
        "name": "Emil Castro",
        "email": "emil@second.example",
        "account": {"id": "account-2", "name": "Second Avenue Cycles"},
    },
}


@dataclass
class Client(ClientMixin):
    client_id: str
    client_secret: str
    redirect_uri: str
    auth_method: str

    def get_client_id(self):
        return self.client_id

    def get_default_redirect_uri(self):
        return self.redirect_uri

    def get_allowed_scope(self, scope):
        return scope or ""

    def check_redirect_uri(self, redirect_uri):
        return redirect_uri == self.redirect_uri

    def check_client_secret(self, client_secret):
        return secrets.compare_digest(client_secret.encode(), self.client_secret.encode())

    def check_endpoint_auth_method(self, method, endpoint):
        return method == self.auth_method

    def check_response_type(self, response_type):
        return response_type == "code"

    def check_grant_type(self, grant_type):
        return grant_type in ("authorization_code", "refresh_token")


@dataclass
class Code(AuthorizationCodeMixin):
    code: str
    client_id: str
    user: dict
    redirect_uri: str
    scope: str
    code_challenge: str
    code_challenge_method: str
    expires: float
    used: bool = False
    # Ties together every token that goes back to this code.
    family: str = field(default_factory=lambda: secrets.token_hex(8))

    def get_redirect_uri(self):
        return self.redirect_uri

    def get_scope(self):
        return self.scope


@dataclass
class Token(TokenMixin):
    access_token: str
    refresh_token: str
    client_id: str
    user: dict
    scope: str
    expires_in: int
    family: str
    issued: float = field(default_factory=time.time)
    access_revoked: bool = False
    refresh_revoked: bool = False

    def check_client(self, client):
        return self.client_id == client.client_id

    def get_scope(self):
        return self.scope

    def get_expires_in(self):
        return self.expires_in

    def is_expired(self):
        return time.time() >= self.issued + self.expires_in

    def is_revoked(self):
        return self.access_revoked

    def get_user(self):
        return self.user


class Memory:
    def __init__(self):
        self.clients, self.codes, self.tokens = {}, {}, []
        self.calls = Counter()
        self.lock = threading.RLock()

    def find_token(self, **wanted):
        ((name, value),) = wanted.items()
        return next((token for token in self.tokens if getattr(token, name) == value), None)

    def revoke_family(self, family):
        for token in self.tokens:
            if token.family == family:
                token.access_revoked = token.refresh_revoked = True

    def save_token(self, token, oauth_request):
        origin = oauth_request.authorization_code or oauth_request.refresh_token
        self.tokens.append(
            Token(
                access_token=token["access_token"],
                refresh_token=token["refresh_token"],
                client_id=oauth_request.client.client_id,
                user=oauth_request.user,
                scope=token.get("scope", ""),
                expires_in=token["expires_in"],
                family=origin.family,
            )
        )


memory = Memory()
