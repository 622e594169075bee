"""Credentials that are made at the provider and entered here: they are their own token.

An API key, HTTP basic (RFC 7617), OAuth 1.0a with fixed tokens (RFC 5849), a key pair of AWS, and nothing
at all.
"""

from installations.auth.token import Token


class Static:
    def obtain(self, secrets: dict[str, str]) -> Token:
        """The secrets are the token; whether they work is for the verification to find out."""
        return Token(access_token=secrets.get("access_token", ""), values=_without(secrets, "access_token"))


def _without(values: dict[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in values.items() if key != name}
