"""Both ends of the redirect: asking for consent, and the answer to it.

Trust changes hands here. Of the answer nothing counts but `state` and what answers.py reads; and no
code is exchanged before the state was found, not too old, of this very browser, of this client
registration, and taken by exactly one request.
"""

import logging
import re
import secrets
from dataclasses import dataclass, field, replace
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from connectors.manifest import Manifest
from connectors.models import ConnectorSettings, redirect_uri
from console import clock, crypto, http
from console.models import Event
from console.problems import PROBLEMS, ProblemError, hide
from console.tenancy import Principal
from installations import alerts, answers, connecting, standing
from installations.auth import INTERACTIVE, Token, TokenError
from installations.connecting import ChoiceNeeded
from installations.models import AuthorizationRequest, Setup, SetupLink
from installations.refused import PARTNERS
from installations.values import BadValue, fill_scopes, resolve
from installations.verification import AddressUnknown

log = logging.getLogger("installations.authorization")


@dataclass(frozen=True)
class Registration:
    """The client registration in use: the partner's, or this installation's own where that is blank."""

    id: UUID
    # The values of the manifest's properties, from whoever's application it is.
    values: dict[str, str] = field(repr=False)

    @property
    def redirect_uri(self) -> str:
        return redirect_uri(self.id)


def registration(manifest: Manifest, partner: ConnectorSettings, setup: Setup) -> Registration:
    """The partner's, if it is whole: half of one and half of another would be sent to the wrong side."""
    stored = partner.values_for(manifest, setup.auth_method)
    is_partners = bool(manifest.client_registration(setup.auth_method) & stored.keys())
    return Registration(
        id=partner.id if is_partners else setup.installation_id,
        values=resolve(manifest, setup.auth_method, stored, setup.values or {}),
    )


def _grant(manifest: Manifest, setup: Setup, client: Registration):
    method = manifest.method(setup.auth_method)
    return INTERACTIVE[method.type](method, client.values, redirect_uri=client.redirect_uri)


def _exchange(
    manifest: Manifest, partner: ConnectorSettings, setup: Setup, client: Registration, sent: dict
) -> Token:
    """The token for a code; where the partner's new secret is refused, with the one before, if that counts.

    A client that is refused has not used the code up (RFC 6749, section 5.2). Raises TokenError.
    """
    try:
        return _grant(manifest, setup, client).obtain(**sent)
    except TokenError as error:
        before = partner.previous_clients(clock.now()) if client.id == partner.id else []
        candidates = [replace(client, values={**client.values, **values}) for values in before]
        method = manifest.method(setup.auth_method)
        named = standing.client_digest(method, client.values)
        for other in candidates if error.code == "invalid_client" else ():
            if standing.client_digest(method, other.values) == named:
                return _grant(manifest, setup, other).obtain(**sent)
        raise


def cookie_name(request_id: UUID) -> str:
    # One for each request: two tabs do not overwrite each other's.
    return f"{settings.COOKIE_PREFIX}consent-{request_id.hex}"


def ask(setup: Setup, principal: Principal, response_for) -> HttpResponse:
    """Start a request for consent and bind it to this browser.

    `response_for(url)` makes the response that leads to the provider; the cookie goes with it.
    """
    AuthorizationRequest.forget_expired()
    installation = setup.installation
    partner = ConnectorSettings.objects.for_connector(setup.partner_id, installation.connector)
    manifest = setup.definition.manifest
    client = registration(manifest, partner, setup)
    state, browser = (secrets.token_urlsafe(32) for _ in range(2))
    try:
        scopes = fill_scopes(partner.scopes_for(manifest.method(setup.auth_method)), client.values)
        url, verifier = _grant(manifest, setup, client).begin(scopes=scopes, state=state)
    except BadValue as error:
        raise ProblemError("value_unusable", words=str(error)) from error
    except TokenError as error:
        raise ProblemError(error.code, words=error.words) from error
    row = AuthorizationRequest.objects.create(
        partner_id=setup.partner_id,
        installation=installation,
        setup=setup,
        setup_link_id=principal.setup_link_id,
        user_id=principal.user_id,
        registration_id=client.id,
        auth_method=setup.auth_method,
        state_digest=crypto.digest(state),
        browser_digest=crypto.digest(browser),
        verifier=verifier,
        expires_at=clock.now() + timedelta(minutes=settings.AUTHORIZATION_MINUTES),
    )
    installation.wait_for_consent()
    Event.objects.record("consent.asked", principal, "Consent was asked for", subject=installation)
    response = response_for(http.browser_url(url))
    response.set_cookie(
        cookie_name(row.id),
        browser,
        max_age=settings.AUTHORIZATION_MINUTES * 60,
        secure=settings.SECURE,
        httponly=True,
        samesite="Lax",
    )
    return response


class Refused(Exception):
    """The answer is not for us to act on.

    `about` is the request that it names, for the record; `row` the same where this browser may be told.
    """

    def __init__(
        self,
        code: str,
        row: AuthorizationRequest | None = None,
        words: str = "",
        about: AuthorizationRequest | None = None,
    ):
        super().__init__(code)
        self.code = code
        self.row = row
        self.about = about or row
        self.words = words


def answer(request: HttpRequest, registration_id: UUID) -> AuthorizationRequest:
    """Take the provider's answer to its end: connected, or Refused with the reason.

    Raises Refused. AddressUnknown does not come out: the wizard asks for the address next.
    """
    row = _find(request, registration_id)
    principal = principal_of(row)
    if not row.consume():
        AuthorizationRequest.forget_expired()
        row.installation.stop_waiting()
        is_used = row.consumed_at or row.expires_at > clock.now()
        raise Refused("attempt_used" if is_used else "attempt_expired", row)
    verifier = row.verifier
    row.close("")
    setup = row.setup
    manifest = setup.definition.manifest
    partner = ConnectorSettings.objects.for_connector(row.partner_id, row.installation.connector)
    # As it was asked: another tab may have chosen another way since.
    setup.auth_method = row.auth_method
    method = manifest.method(setup.auth_method)
    client = registration(manifest, partner, setup)
    code = answers.code(request, method)
    try:
        answers.check(request, method)
        if client.id != registration_id:
            raise ProblemError("attempt_revoked", words="the client registration changed in the meantime")
        sent = {"code": code, "wanted": standing.wanted(manifest), **verifier}
        token = _exchange(manifest, partner, setup, client, sent)
        said = {prop.callback: answers.single(request, prop.callback, 500) for prop in manifest.properties}
        setup.found = connecting.found_with(manifest, method.key, token, said)
        connecting.connect(manifest, partner, setup, token, principal, row.setup_link)
    except (AddressUnknown, ChoiceNeeded) as error:
        row.close("address_needed" if isinstance(error, AddressUnknown) else "choice_needed")
    except (ProblemError, TokenError) as error:
        row.close(error.code)
        row.installation.stop_waiting()
        own = [client.values[prop.name] for prop in manifest.properties_for(method.key) if prop.is_secret]
        words = hide(error.words, *own, code, *verifier.values())
        if isinstance(error, TokenError) and error.code in PARTNERS and client.id == partner.id:
            # No customer can mend it, and none should have to tell.
            alerts.raise_alert(
                row.partner_id, row.installation.connector, error.code, setup.definition.name, words
            )
        raise Refused(error.code, row, words) from error
    else:
        row.close("connected")
        if client.id == partner.id:
            alerts.close_alerts(row.partner_id, row.installation.connector, *PARTNERS)
    return row


def _find(request: HttpRequest, registration_id: UUID) -> AuthorizationRequest:
    """The request that this is the answer to. A refused attempt does not burn the real one."""
    state = answers.single(request, "state", 200)
    row = (
        AuthorizationRequest.objects.select_related("installation", "setup", "setup_link", "partner", "user")
        .filter(state_digest=crypto.digest(state), registration_id=registration_id)
        .first()
    )
    if row is None:
        raise Refused("attempt_unknown")
    browser = request.COOKIES.get(cookie_name(row.id), "")
    if not secrets.compare_digest(crypto.digest(browser), row.browser_digest):
        raise Refused("attempt_other_browser", about=row)
    # A page inside a frame or a script is not a person coming back.
    if request.headers.get("Sec-Fetch-Dest", "document") != "document":
        raise Refused("attempt_other_browser", about=row)
    if row.consumed_at:
        raise Refused("attempt_used", row)
    if not answers.is_about(request, row.verifier):
        raise Refused("attempt_unknown", about=row)
    if row.user_id and request.user != row.user:
        raise Refused("attempt_other_browser", about=row)
    if row.setup_link and not row.setup_link.is_live:
        raise Refused("attempt_revoked", row)
    if not row.partner.is_active or row.installation.disabled_at or row.setup.finished_at:
        raise Refused("attempt_revoked", row)
    if row.setup.setup_link_id != row.setup_link_id:
        # Somebody else has taken the setup over since.
        raise Refused("attempt_revoked", row)
    if row.user_id and row.user.partner() != row.partner:
        raise Refused("attempt_revoked", about=row)
    return row


def principal_of(row: AuthorizationRequest) -> Principal:
    """Who asked for consent; the cookie has shown that the same browser brings the answer."""
    if row.setup_link:
        return link_principal(row.setup_link)
    return Principal(partner_id=row.partner_id, actor=row.user.email, user_id=row.user_id)


def link_principal(link: SetupLink) -> Principal:
    return Principal(
        partner_id=link.partner_id,
        actor=link.email or "customer with a setup link",
        setup_link_id=link.id,
        installation_id=link.installation_id,
    )


def _refused_text(refused: Refused) -> str:
    connector = refused.about.installation.definition
    names = {"connector": connector.name if connector else "", "partner": refused.about.partner.name}
    return f"No connection by consent: {PROBLEMS[refused.code].title.format(**names)}"[:300]


def record_refusal(refused: Refused, registration_id: UUID, reference: str) -> None:
    """One line on the record for each refusal, where its partner is known; in the log always."""
    log.warning("answer refused: %s registration=%s ref=%s", refused.code, registration_id, reference)
    if row := refused.about:
        Event.objects.record(
            "consent.refused",
            principal_of(row),
            _refused_text(refused),
            subject=row.installation,
            reference=reference,
            code=refused.code,
            words=re.sub(r"[^\x20-\x7e]+", " ", refused.words),
        )
