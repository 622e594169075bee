"""Auth methods, each in a module named by its grant.

They know protocol and never rows: plain values in, a Token out.
"""

from installations.auth.authorization_code import AuthorizationCode
from installations.auth.oauth1_redirection import OAuth1Redirection
from installations.auth.pasted_grant import PastedGrant
from installations.auth.renewing import AT_ANY_TIME, can_renew, following, renew, revoke
from installations.auth.signing import NOT_HELD, sign, signed
from installations.auth.static import Static
from installations.auth.token import Token
from installations.auth.token_response import TokenError

# Methods that lead through the browser: begin makes the question, obtain takes the answer.
INTERACTIVE = {
    "authorization_code": AuthorizationCode,
    "oauth1_redirection": OAuth1Redirection,
}
# Methods that need no browser: what is entered gives the token.
DIRECT = {**AT_ANY_TIME, "pasted_grant": PastedGrant}
STATIC = {"none", "api_key", "http_basic", "oauth1", "aws_signature"}

__all__ = [
    "DIRECT",
    "INTERACTIVE",
    "NOT_HELD",
    "STATIC",
    "Static",
    "Token",
    "TokenError",
    "can_renew",
    "following",
    "renew",
    "revoke",
    "sign",
    "signed",
]
