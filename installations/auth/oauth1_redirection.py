"""OAuth 1.0a with redirection-based authorization (RFC 5849, section 2)."""

import re
from urllib.parse import urlencode

from requests_oauthlib import OAuth1Session

from connectors.manifest import AuthMethod
from console import http
from console.problems import hide
from installations.auth.token import Token
from installations.auth.token_response import TRANSIENT_STATUSES, TokenError, fields
from installations.values import at, fill, fill_url


class OAuth1Redirection:
    def __init__(self, method: AuthMethod, values: dict[str, str], *, redirect_uri: str):
        self.method, self.values, self.redirect_uri = method, values, redirect_uri
        self.consumer_key = fill(method.consumer_key, values)
        self.consumer_secret = fill(method.consumer_secret, values)

    def begin(self, *, scopes: list[str], state: str) -> tuple[str, dict[str, str]]:
        """Where to send the browser (section 2.2), and the temporary credentials (section 2.1).

        OAuth 1.0a knows no state: ours is a part of the callback. Raises TokenError.
        """
        method = self.method
        session = self._session(callback_uri=f"{self.redirect_uri}?{urlencode({'state': state})}")
        answer = self._ask(session, method.temporary_credentials_endpoint, refused="invalid_client")
        # Without it the callback may have been ignored, and anybody could bring another's answer.
        if answer.get("oauth_callback_confirmed") != "true":
            raise TokenError("provider_answer_unreadable", "the answer does not confirm the callback")
        temporary = _credentials(answer)
        parameters = {name: fill(text, self.values) for name, text in method.authorization_params.items()}
        parameters["scope"] = method.scope_separator.join(scopes)
        url = session.authorization_url(
            fill_url(method.authorization_endpoint, self.values),
            temporary["oauth_token"],
            **{name: value for name, value in parameters.items() if value},
        )
        return url, temporary

    def obtain(
        self, *, code: str, oauth_token: str, oauth_token_secret: str, wanted: tuple[str, ...] = ()
    ) -> Token:
        """Exchange the temporary credentials (section 2.3); `code` is the verifier. Raises TokenError."""
        session = self._session(
            resource_owner_key=oauth_token, resource_owner_secret=oauth_token_secret, verifier=code
        )
        hidden = (code, oauth_token, oauth_token_secret)
        answer = self._ask(session, self.method.token_endpoint, *hidden, refused="invalid_grant")
        credentials = _credentials(answer)
        return Token(
            access_token=credentials["oauth_token"],
            values={"token_secret": credentials["oauth_token_secret"]},
            extra={path: text for path in wanted if isinstance(text := at(answer, path), str)},
        )

    def _session(self, **parameters: str) -> OAuth1Session:
        signature_method = self.method.signature_method
        return http.guard(
            OAuth1Session(
                self.consumer_key, self.consumer_secret, signature_method=signature_method, **parameters
            )
        )

    def _ask(self, session: OAuth1Session, endpoint: str, *secrets: str, refused: str) -> dict:
        """The pairs of the answer. `refused` is the code for whatever section 3.2 answers with 401."""
        try:
            # Not the library's fetch functions: the words of their errors repeat the whole answer.
            response = session.post(fill_url(endpoint, self.values))
        except http.Unreachable as error:
            code = "provider_answer_unreadable" if error.kind == "too_large" else "provider_unavailable"
            raise TokenError(code, str(error)) from error
        status = response.status_code
        if status == 200:
            return fields(response.content)
        words = hide(f"status {status}: {_plain(response.text)}", self.consumer_secret, *secrets)
        if status in TRANSIENT_STATUSES:
            raise TokenError("provider_unavailable", words)
        if status == 401:
            raise TokenError(refused, words)
        raise TokenError(
            "configuration_refused" if 400 <= status < 500 else "provider_answer_unreadable", words
        )


def _credentials(answer: dict) -> dict[str, str]:
    """The two of an answer that make a signature. Raises TokenError."""
    found = {name: answer.get(name) for name in ("oauth_token", "oauth_token_secret")}
    for name, text in found.items():
        # They become part of a header and of a key.
        if not isinstance(text, str) or not re.fullmatch(r"[\x21-\x7e]+", text):
            raise TokenError("provider_answer_unreadable", f"the answer holds no usable {name}")
    return found


def _plain(text: str) -> str:
    """What a provider says in plain text; a page says nothing that could be shown here."""
    return "" if text.lstrip().startswith("<") else text.strip()
