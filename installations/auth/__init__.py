"""Auth methods, each in a module named by its grant.

They know protocol and never rows: plain values in, a Token out.
"""

from installations.auth.authorization_code import AuthorizationCode
from installations.auth.renewing import DIRECT, can_renew, following, renew, revoke
from installations.auth.signing import sign
from installations.auth.static import Static
from installations.auth.token import Token
from installations.auth.token_response import TokenError

STATIC = {"none", "api_key", "http_basic", "oauth1"}

__all__ = [
    "DIRECT",
    "STATIC",
    "AuthorizationCode",
    "Static",
    "Token",
    "TokenError",
    "can_renew",
    "following",
    "renew",
    "revoke",
    "sign",
]
