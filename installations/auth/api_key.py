"""A key that the customer makes at the provider and pastes here."""

from installations.auth.token import Token


class ApiKey:
    def obtain(self, values: dict[str, str]) -> Token:
        """The key is the token; whether it works is for the verification to find out."""
        return Token(access_token=values["access_token"])
