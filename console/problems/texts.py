"""The texts of everything that can go wrong, by code. {connector} and {partner} are filled in."""

from dataclasses import dataclass

CUSTOMER, PARTNER, PROVIDER, OPERATOR = "you", "partner", "provider", "operator"


@dataclass(frozen=True)
class Problem:
    title: str
    what: str
    mended_by: str
    action: str = "Try again"
    status: int = 400


PROBLEMS = {
    # Asking for consent
    "access_denied": Problem(
        "You did not allow access",
        "{connector} says that access was declined, so nothing was connected and nothing was stored.",
        CUSTOMER,
        "Go back and ask again",
    ),
    "attempt_expired": Problem(
        "This took longer than ten minutes",
        "For your safety a request for consent ends after ten minutes. Nothing was connected.",
        CUSTOMER,
    ),
    "attempt_unknown": Problem(
        "We cannot match this answer to a request",
        "An answer about consent reached us that does not belong to a request made here. Nothing was "
        "connected. Start again from the link or the page where you began.",
        CUSTOMER,
        "Back to the start",
    ),
    "attempt_other_browser": Problem(
        "Please finish in the browser where you began",
        "The request for consent was made in another browser, or cookies are blocked here. Nothing was "
        "connected, and the request there can still be finished.",
        CUSTOMER,
        "Back to the start",
        403,
    ),
    "attempt_used": Problem(
        "This answer has been dealt with",
        "The same answer about consent reached us before. There is nothing more to do here.",
        CUSTOMER,
        "See where it stands",
        409,
    ),
    "attempt_revoked": Problem(
        "This setup is no longer open",
        "The setup that asked for consent was closed in the meantime. Nothing was connected.",
        PARTNER,
        "See where it stands",
        410,
    ),
    "wrong_account": Problem(
        "That is another account",
        "This installation belongs to another {connector} account than the one that just answered. The "
        "connection was left as it was. Sign in to the right account at {connector} and try again. If the "
        "account was meant to change, {partner} can allow that.",
        CUSTOMER,
    ),
    # What a provider answers
    "invalid_grant": Problem(
        "The consent could not be used",
        "{connector} did not accept the consent code. It may have been too old. Ask for consent again.",
        CUSTOMER,
        "Ask for consent again",
        502,
    ),
    "invalid_client": Problem(
        "{connector} does not accept the application's credentials",
        "The Client ID or the Client Secret is wrong at {connector}. Your account there is fine.",
        PARTNER,
        status=502,
    ),
    "redirect_uri_mismatch": Problem(
        "{connector} does not know our return address",
        "The redirect URI registered with {connector} is not the one this console sends.",
        PARTNER,
        status=502,
    ),
    "configuration_refused": Problem(
        "{connector} refused the request",
        "The way the application is registered with {connector} does not allow this request, for example "
        "because of the scopes it asks for.",
        PARTNER,
        status=502,
    ),
    "provider_unavailable": Problem(
        "{connector} does not answer right now",
        "This is a passing fault at {connector} or on the way there. Nothing was lost.",
        PROVIDER,
        status=502,
    ),
    "provider_answer_unreadable": Problem(
        "{connector} gave an answer that we cannot read",
        "We expected a short answer of a known form and got something else, so nothing was connected.",
        PROVIDER,
        status=502,
    ),
    "value_unusable": Problem(
        "One of the values cannot be used",
        "A value that was entered does not fit into a request to {connector}. Check them and try again.",
        CUSTOMER,
    ),
    "nothing_to_choose": Problem(
        "{connector} has nothing to connect",
        "Your sign-in works, but it leads to nothing there that could be connected. Someone who manages "
        "users at {connector} can give you access.",
        CUSTOMER,
        status=502,
    ),
    "partner_values_missing": Problem(
        "{partner} has to finish something first",
        "{connector} needs values that only {partner} has, and they are not stored yet.",
        PARTNER,
        status=409,
    ),
    "credential_rejected": Problem(
        "{connector} does not accept this credential",
        "It was ended at {connector}, or what was entered was not right.",
        CUSTOMER,
        status=502,
    ),
    "permission_missing": Problem(
        "A permission is missing at {connector}",
        "The credential works, but its user may not read what the check reads. Someone who manages users at "
        "{connector} can give that permission.",
        CUSTOMER,
        status=502,
    ),
    # A connection that was there
    "grant_ended": Problem(
        "{connector} has ended the access",
        "Someone withdrew it there, or it ran out. Authorise it again; until then nothing can be read or "
        "written.",
        CUSTOMER,
        "Authorise again",
        502,
    ),
    "renewal_lost": Problem(
        "The access to {connector} was lost on the way",
        "{connector} renewed it, but its answer never reached us, and it gives the same answer only once. "
        "Authorise it again.",
        CUSTOMER,
        "Authorise again",
        502,
    ),
    "renewal_unknown": Problem(
        "We do not know whether {connector} renewed the access",
        "The answer never reached us. To ask once more could end the access as a whole, so we wait for a "
        "person to decide: authorise it again, or let us try.",
        PARTNER,
        "Authorise again",
        502,
    ),
    "credential_expired": Problem(
        "The access to {connector} has run out",
        "{connector} gives it for a limited time and does not renew it. Authorise it again.",
        CUSTOMER,
        "Authorise again",
        502,
    ),
    "not_renewable": Problem(
        "{connector} gives nothing that could be renewed",
        "The credential goes on as it is, until it ends or is withdrawn at {connector}.",
        CUSTOMER,
        status=409,
    ),
    "client_changed": Problem(
        "The access belongs to an earlier Client ID",
        "{partner} uses another application at {connector} now, and access is given to one application. "
        "Authorise it again.",
        CUSTOMER,
        "Authorise again",
        409,
    ),
    "renewal_under_way": Problem(
        "The access to {connector} is being renewed",
        "That takes longer than usual. Ask again in a few seconds.",
        PROVIDER,
        status=503,
    ),
    "renewals_paused": Problem(
        "Renewals are paused",
        "This system was restored from a backup, or support paused it. The credential has run out meanwhile.",
        OPERATOR,
        status=503,
    ),
    # What the partner's own software asks
    "not_connected": Problem(
        "This installation is not connected",
        "No credential is stored for it. Send a setup link, or set it up in the console.",
        PARTNER,
        status=409,
    ),
    "not_http": Problem(
        "{connector} is not called over HTTP",
        "This connector leads to a server that speaks another protocol. Get the credential, and connect to "
        "it yourself.",
        PARTNER,
        status=409,
    ),
    "proxy_request_refused": Problem(
        "This request cannot be passed on",
        "Something in it would lead elsewhere, or could be read in two ways. Nothing was sent.",
        PARTNER,
    ),
    "body_too_large": Problem(
        "This body is too large to be signed",
        "{connector} wants a signature over the whole body, which is only made of small ones. Nothing was "
        "sent.",
        PARTNER,
        status=413,
    ),
    "provider_timeout": Problem(
        "{connector} did not answer in time",
        "It got the request, or part of it; what it made of it is not known.",
        PROVIDER,
        status=504,
    ),
    "too_many_calls": Problem(
        "Too many calls are under way",
        "Others are still being answered. Ask again in a moment.",
        PARTNER,
        status=503,
    ),
    # A connector's releases
    "connector_gone": Problem(
        "This connector is no longer there",
        "It was taken out of the library, so nobody here knows how to reach the application. What is stored "
        "is kept.",
        OPERATOR,
        status=409,
    ),
    "upgrade_needs_setup": Problem(
        "The new version asks for something that is not there yet",
        "Re-authorise the installation; until then it goes on as before.",
        PARTNER,
        status=409,
    ),
    # The console itself
    "link_expired": Problem(
        "This link has expired",
        "Nothing was lost: what you entered is kept. Ask your contact at {partner} for a new link.",
        PARTNER,
        status=410,
    ),
    "link_revoked": Problem(
        "This link was withdrawn",
        "{partner} closed this link. Ask your contact there for a new one.",
        PARTNER,
        status=410,
    ),
    "link_unknown": Problem(
        "This link does not work",
        "It may be incomplete: open it again from the message you got, or copy it as a whole.",
        CUSTOMER,
        status=404,
    ),
    "link_closed_browser": Problem(
        "Please open your link again",
        "This browser does not know which setup you mean. Open the link from the message you got; you "
        "continue where you left off.",
        CUSTOMER,
        status=403,
    ),
    "installation_disabled": Problem(
        "This installation is switched off",
        "It was switched off by {partner} or by support. What is stored is kept.",
        PARTNER,
        status=409,
    ),
    "stored_value_unreadable": Problem(
        "A stored value cannot be read",
        "What is stored here is damaged or was encrypted with a key that this server does not have. Nothing "
        "was changed.",
        OPERATOR,
        status=500,
    ),
    "too_many_tries": Problem(
        "Too many tries",
        "Wait a minute, then try again.",
        CUSTOMER,
        status=429,
    ),
    "no_partner": Problem(
        "Your sign-in belongs to no company yet",
        "Someone in support can add you to your company.",
        OPERATOR,
        "Sign in as someone else",
        403,
    ),
    "partner_disabled": Problem(
        "Your company's access is paused",
        "Support paused it. What is stored is kept.",
        OPERATOR,
        "Sign in as someone else",
        403,
    ),
    "form_expired": Problem(
        "This form was open too long",
        "For your safety a form works only in the browser that opened it, and only while its cookie lives. "
        "Go back, load the page again and send it once more; what was saved before is kept.",
        CUSTOMER,
        "Load the page again",
        403,
    ),
    "not_found": Problem(
        "There is nothing at this address",
        "It may have been deleted, or the address is incomplete.",
        CUSTOMER,
        "Go to the start page",
        404,
    ),
    "wrong_method": Problem(
        "This address cannot be opened that way",
        "Use the buttons of the page that you came from.",
        CUSTOMER,
        "Go to the start page",
        405,
    ),
    "not_allowed": Problem(
        "Your sign-in does not allow this",
        "Nothing was changed. Someone who manages the rights of staff can allow it.",
        OPERATOR,
        "Go to the start page",
        403,
    ),
    "not_staff": Problem(
        "These pages are for support",
        "You are signed in, but not as somebody of the staff. Your own pages are in the console.",
        OPERATOR,
        "Go to the console",
        403,
    ),
    "bad_request": Problem(
        "This request cannot be read",
        "Something in it has a form that we do not accept.",
        CUSTOMER,
        "Go to the start page",
        400,
    ),
    "server_error": Problem(
        "Something went wrong on our side",
        "It is on the record under the reference below, and nothing was half-saved.",
        OPERATOR,
        "Go to the start page",
        500,
    ),
}
