"""Auth methods, each in a module named by its grant.

They know protocol and never rows: plain values in, a Token out.
"""

from installations.auth.authorization_code import AuthorizationCode
from installations.auth.oauth1_redirection import OAuth1Redirection
from installations.auth.renewing import DIRECT, can_renew, following, renew, revoke
from installations.auth.signing import sign
from installations.auth.static import Static
from installations.auth.token import Token
from installations.auth.token_response import TokenError

# Methods that lead through the browser: begin makes the question, obtain takes the answer.
INTERACTIVE = {
    "authorization_code": AuthorizationCode,
    "oauth1_redirection": OAuth1Redirection,
}
STATIC = {"none", "api_key", "http_basic", "oauth1"}

__all__ = [
    "DIRECT",
    "INTERACTIVE",
    "STATIC",
    "Static",
    "Token",
    "TokenError",
    "can_renew",
    "following",
    "renew",
    "revoke",
    "sign",
]
