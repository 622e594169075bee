"""Ask the provider "who am I?": the proof that a credential works, and for which account."""

import json
import re
from dataclasses import dataclass
from string import Template
from typing import Any

from connectors.manifest import AuthMethod, Manifest
from console.problems import ProblemError, hide
from installations import http
from installations.auth import Token, signed_headers


class AddressUnknown(Exception):
    """The credential was not refused, but the provider did not tell where its account lives."""


@dataclass(frozen=True)
class Identity:
    """The provider's account behind a credential."""

    account_id: str
    account_name: str
    user_name: str
    discovered: dict[str, str]


def verify(manifest: Manifest, method: AuthMethod, token: Token, values: dict[str, str]) -> Identity:
    """Find the account's address if need be, then ask who the credential belongs to.

    `values` are the account's non-secret values, a fallback address among them. Raises
    AddressUnknown, and ProblemError with the codes credential_rejected, permission_missing,
    provider_unavailable, provider_answer_unreadable.
    """
    headers = signed_headers(method, token)
    discovered = _discover(manifest, headers, token, values)
    known = {**values, **discovered}
    verification = manifest.verification
    who = _get(_fill(verification.url, known), headers, token)
    # Some echo what they are sent: it would stand in a table and on pages.
    who = _without(who, token)
    account_name = _first(who, verification.account_name)
    if not account_name and verification.account_name_url:
        try:
            answer = _get(_fill(verification.account_name_url, known), headers, token)
            account_name = _first(_without(answer, token), [verification.account_name_key])
        except ProblemError:
            # The name is a courtesy; a user without that permission is still connected.
            pass
    account_id = _first(who, [verification.account_id])
    if not account_id and "$" in verification.account_id:
        account_id = _fill(verification.account_id, known)
    if not account_id:
        # The key's own name would pass for the account of everybody.
        raise ProblemError("provider_answer_unreadable", words="the answer names no account")
    return Identity(
        account_id=account_id[:253],
        account_name=(account_name or account_id)[:200],
        user_name=_first(who, verification.user_name)[:200],
        discovered=discovered,
    )


def _discover(
    manifest: Manifest, headers: dict[str, str], token: Token, values: dict[str, str]
) -> dict[str, str]:
    discovery = manifest.discovery
    if discovery is None:
        return {}
    fallback = Template(discovery.fallback_template)
    if all(values.get(name) for name in fallback.get_identifiers()):
        found = fallback.substitute(values)
    else:
        try:
            found = _first(_get(discovery.url, headers, token), [discovery.key])
        except ProblemError as error:
            if error.code == "credential_rejected":
                raise
            raise AddressUnknown(error.code) from error
    found = found.removeprefix("https://").rstrip("/").lower()
    # What comes back is not trusted: it names the host that gets the credential next.
    if not re.fullmatch(discovery.pattern, found):
        raise AddressUnknown("the address found has an unexpected form")
    return {discovery.property: found}


def _fill(template: str, values: dict[str, str]) -> str:
    return Template(template).substitute(values)


def _get(url: str, headers: dict[str, str], token: Token) -> dict[str, Any]:
    try:
        response = http.get(url, headers)
    except http.Unreachable as error:
        readable = error.kind != "too_large"
        code = "provider_unavailable" if readable else "provider_answer_unreadable"
        raise ProblemError(code, words=str(error)) from error
    status = response.status_code
    try:
        data = json.loads(response.content)
    except (ValueError, RecursionError):
        data = None
    words = f"status {status}"
    if isinstance(data, dict):
        said = [str(data[key]) for key in ("error", "message") if isinstance(data.get(key), str)]
        words = hide(" · ".join([words, *said]), token.access_token)
    if status == 401:
        raise ProblemError("credential_rejected", words=words)
    if status == 403:
        raise ProblemError("permission_missing", words=words)
    if status == 429 or status >= 500:
        raise ProblemError("provider_unavailable", words=words)
    if status != 200 or not isinstance(data, dict):
        raise ProblemError("provider_answer_unreadable", words=words)
    return data


def _without(data: dict[str, Any], token: Token) -> dict[str, Any]:
    """The answer without our secrets."""
    # A shorter one may be a word of the answer's own language, such as null.
    secrets = [text for text in (token.access_token, token.refresh_token) if len(text) > 8]
    return json.loads(hide(json.dumps(data), *secrets))


def _first(data: dict[str, Any], paths) -> str:
    """The first of the dotted paths that leads to a text or a number; "" if none does."""
    for path in paths:
        value: Any = data
        for key in path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, (str, int)) and not isinstance(value, bool):
            # Half a character or a control character would not go into the database.
            text = "".join(c if c.isprintable() else " " for c in str(value)).strip()
            if text:
                return text
    return ""
