"""Ask the provider "who am I?": the proof that a credential works, and for which account."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from string import Template
from typing import Any

from connectors.manifest import AuthMethod, Manifest
from connectors.manifest.verification import SignInVerification
from connectors.manifest.vocabulary import matches, names_in
from console import databases, http
from console.problems import ProblemError, hide
from installations.auth import Token, sign
from installations.values import BadValue, at, fill, fill_body, fill_url, paths_of, text_at

_CONTENT_TYPES = {
    "json": "application/json",
    "form": "application/x-www-form-urlencoded",
    "xml": "text/xml; charset=utf-8",
}


class AddressUnknown(Exception):
    """The credential was not refused, but the provider did not tell where its account lives."""


@dataclass(frozen=True)
class Identity:
    """The provider's account behind a credential."""

    account_id: str
    account_name: str
    user_name: str
    discovered: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Caller:
    """Calls a provider with one credential.

    `values` are those of the installation, `token` the credential; of the provider's words none of its
    secrets come out.
    """

    manifest: Manifest
    method: AuthMethod
    token: Token
    values: Mapping[str, str]

    @property
    def verification(self):
        return self.manifest.verification_for(self.method)

    def known(self, **more: str) -> dict[str, str]:
        return {**self.values, **self.token.placeholders, **more}

    def call(self, url: str, values: dict[str, str], **request: Any):
        """One request, signed. Raises ProblemError."""
        try:
            address = fill_url(url, values, paths=paths_of(self.manifest))
            return http.send(address, lambda prepared: sign(prepared, self.method, values), **request)
        except BadValue as error:
            raise ProblemError("value_unusable", words=str(error)) from error
        except http.Unreachable as error:
            code = "provider_answer_unreadable" if error.kind == "too_large" else "provider_unavailable"
            raise ProblemError(code, words=str(error)) from error

    def read(
        self,
        response,
        ok: str = "",
        error: str = "",
        rejected: tuple[str, ...] = (),
        rejected_status: tuple[int, ...] = (),
    ) -> Any:
        """The answer's JSON, None where it is none. Raises ProblemError for whatever says that it failed."""
        code = response.status_code
        try:
            data = json.loads(response.content)
        except (ValueError, RecursionError):
            data = None
        said = at(data, error) if error else None
        failed = bool(said) or (bool(ok) and at(data, ok) is False)
        words = self.words(f"status {code}", data, said)
        if code == 401 or code in rejected_status or (failed and str(said) in rejected):
            raise ProblemError("credential_rejected", words=words)
        if code == 403:
            raise ProblemError("permission_missing", words=words)
        if code == 429 or code >= 500:
            raise ProblemError("provider_unavailable", words=words)
        if code != 200 or failed:
            raise ProblemError("provider_answer_unreadable", words=words)
        return data

    def words(self, status: str, data: Any, said: object = None) -> str:
        told = (said, at(data, "error"), at(data, "message"))
        parts = [part for part in told if isinstance(part, str)]
        return hide(" · ".join([status, *dict.fromkeys(parts)]), *self.token.secrets)

    def text(self, data: Any, *paths: str) -> str:
        """The first of these places that holds a text. Some echo what they are sent: not our secrets."""
        return hide(text_at(data, *paths), *(secret for secret in self.token.secrets if len(secret) > 3))

    def json(
        self, url: str, values: dict[str, str], *, error: str = "", rejected: tuple[str, ...] = ()
    ) -> Any:
        """The JSON of a GET. Raises ProblemError."""
        data = self.read(self.call(url, values), error=error, rejected=rejected)
        if not isinstance(data, (dict, list)):
            raise ProblemError("provider_answer_unreadable", words="the answer is no JSON")
        return data


def verify(manifest: Manifest, method: AuthMethod, token: Token, values: Mapping[str, str]) -> Identity:
    """Find the account's address if need be, then ask who the credential belongs to.

    `values` are the installation's, a fallback address among them. Raises AddressUnknown, and ProblemError
    with the codes credential_rejected, permission_missing, provider_unavailable, provider_answer_unreadable,
    value_unusable.
    """
    try:
        return _verify(Caller(manifest, method, token, values))
    except BadValue as error:
        raise ProblemError("value_unusable", words=str(error)) from error


def _verify(caller: Caller) -> Identity:
    discovered = _discover(caller)
    known = caller.known(**discovered)
    verification = caller.verification
    if verification.type == "tcp":
        return _answers_there(verification.host, verification.port, verification.account_id, known)
    if verification.type == "sign_in":
        return _signs_in(caller, verification, known)
    data = _who(caller, known)
    account_name = caller.text(data, *verification.account_name)
    if not account_name and verification.account_name_url:
        try:
            answer = caller.json(verification.account_name_url, known)
            account_name = caller.text(answer, verification.account_name_key)
        except ProblemError:
            # The name is a courtesy; a user without that permission is still connected.
            pass
    account_id = _account_id(caller, data, known)
    user_name = caller.text(data, *verification.user_name)
    return Identity(
        account_id=account_id[:253],
        account_name=(account_name or account_id or user_name)[:200],
        user_name=user_name[:200],
        discovered=discovered,
    )


def _who(caller: Caller, known: dict[str, str]) -> Any:
    verification = caller.verification
    headers = {name: fill(text, known) for name, text in verification.headers.items()}
    request: dict[str, Any] = {"headers": headers}
    if verification.method == "POST":
        request["method"] = "POST"
        request["data"] = fill_body(verification.body, known, verification.body_format).encode()
        request["headers"].setdefault("Content-Type", _CONTENT_TYPES[verification.body_format])
    response = caller.call(verification.url, known, **request)
    data = caller.read(
        response,
        verification.ok,
        verification.error,
        verification.rejected,
        verification.rejected_status,
    )
    if verification.success_pattern:
        text = response.content.decode("utf-8", "replace")
        if not matches(verification.success_pattern, text, anywhere=True):
            raise ProblemError("credential_rejected", words=caller.words(text[:150], None))
    elif data == [] or not isinstance(data, (dict, list)):
        raise ProblemError("provider_answer_unreadable", words=caller.words("the answer holds nothing", None))
    return data


def _account_id(caller: Caller, data: Any, known: dict[str, str]) -> str:
    """The account's own id. Where the manifest names a place for it, it must be there."""
    place = caller.verification.account_id
    if not place:
        return ""
    # A template with nothing to fill in would be the account of everybody.
    found = fill(place, known) if names_in(place) else caller.text(data, place)
    if not found:
        raise ProblemError("provider_answer_unreadable", words="the answer names no account")
    return found


def _answers_there(host: str, port: str, account_id: str, known: dict[str, str]) -> Identity:
    """That a server answers at the address, and no more: the credential is not proven."""
    host = fill(host, known)
    try:
        http.knock(host, int(fill(port, known)))
    except (OSError, http.Unreachable, ValueError) as error:
        raise ProblemError("provider_unavailable", words=f"{host} does not answer: {error}") from error
    return _named(fill(account_id, known) or host)


def _signs_in(caller: Caller, check: SignInVerification, known: dict[str, str]) -> Identity:
    """The server lets the credential in. Through a tunnel we cannot look so far."""
    if fill(check.tunnel_host, known):
        return _answers_there(check.tunnel_host, check.tunnel_port, check.account_id, known)
    host = fill(check.host, known)
    try:
        _sign_in(check, host, int(fill(check.port, known)), known)
    except databases.Refused as error:
        raise ProblemError(error.code, words=hide(str(error), *caller.token.secrets)) from error
    except (http.Unreachable, ValueError) as error:
        raise ProblemError("provider_unavailable", words=f"{host} does not answer: {error}") from error
    return _named(fill(check.account_id, known))


def _sign_in(check: SignInVerification, host: str, port: int, known: dict[str, str]) -> None:
    username, password = fill(check.username, known), fill(check.password, known)
    # Of many lines, and in no header.
    key, authority = (Template(text).substitute(known) for text in (check.private_key, check.authority))
    if check.protocol == "sftp":
        # Here: its library takes half a second to load, and few processes need it.
        from console import sftp

        sftp.sign_in(sftp.Server(host, port, username, password, key, fill(check.passphrase, known)))
        return
    tls = databases.TLS.get(fill(check.tls, known), "verify-full")
    database = fill(check.database, known)
    server = databases.Server(host, port, database, username, password, tls, authority)
    databases.sign_in(check.protocol, server)


def _named(account: str) -> Identity:
    return Identity(account_id=account[:253], account_name=account[:200], user_name="")


def _discover(caller: Caller) -> dict[str, str]:
    discovery = caller.manifest.discovery
    if discovery is None:
        return {}
    known = caller.known()
    by_hand = names_in(discovery.fallback_template)
    if by_hand and all(known.get(name) for name in by_hand):
        try:
            found = fill(discovery.fallback_template, known)
        except BadValue as error:
            raise AddressUnknown(str(error)) from error
    else:
        try:
            answer = caller.json(discovery.url, known, error=discovery.error, rejected=discovery.rejected)
            found = text_at(answer, discovery.key)
        except ProblemError as error:
            if error.code == "credential_rejected":
                raise
            raise AddressUnknown(error.code) from error
    found = found.removeprefix("https://").rstrip("/").lower()
    # What comes back is not trusted: it names the host that gets the credential next.
    if not matches(discovery.pattern, found):
        raise AddressUnknown("the address found has an unexpected form")
    return {discovery.property: found}


def options(manifest: Manifest, method: AuthMethod, token: Token, values: Mapping[str, str], lookup) -> list:
    """What a look-up offers: (value, label) pairs. Raises ProblemError."""
    caller = Caller(manifest, method, token, values)
    data = caller.json(lookup.url, caller.known())
    items = at(data, lookup.items) if lookup.items else data
    if not isinstance(items, list):
        raise ProblemError("provider_answer_unreadable", words="the answer holds no list")
    pairs = [(text_at(item, lookup.value), text_at(item, lookup.label)) for item in items]
    return [(value[:253], (label or value)[:200]) for value, label in pairs if value]
