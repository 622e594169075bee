"""What only programs meet: the problems of the API, by code."""

from console.problems.texts import CUSTOMER, OPERATOR, PARTNER, PROVIDER, Problem

API_PROBLEMS = {
    "key_missing": Problem(
        "An API key is needed",
        "Send one with the request, in the header Authorization: Bearer and the key. Keys are made in the "
        "console under Developers, API keys.",
        PARTNER,
        status=401,
    ),
    "key_malformed": Problem(
        "This is not an API key",
        "What was sent has not the form of a key of this console: a character is wrong or missing. Copy it "
        "again from where you keep it.",
        PARTNER,
        status=401,
    ),
    "key_unknown": Problem(
        "This API key opens nothing",
        "Nobody has such a key, or its secret was replaced.",
        PARTNER,
        status=401,
    ),
    "key_revoked": Problem(
        "This API key was revoked",
        "It opens nothing any more. Make another one in the console.",
        PARTNER,
        status=401,
    ),
    "key_expired": Problem(
        "This API key has expired",
        "Its last day is over. Rotate it or make another one in the console.",
        PARTNER,
        status=401,
    ),
    "scope_missing": Problem(
        "This API key may not do that",
        "The key lacks the scope that this operation needs. Scopes are chosen when a key is made.",
        PARTNER,
        status=403,
    ),
    "network_refused": Problem(
        "This API key may not be used from here",
        "The key is confined to certain networks, and the request came from another address.",
        PARTNER,
        status=403,
    ),
    "account_key": Problem(
        "This API key is for one account",
        "What was asked for belongs to the company as a whole. Use a key that is not confined to an account.",
        PARTNER,
        status=403,
    ),
    "test_key": Problem(
        "This API key is for try-outs",
        "What was asked for is about what customers have installed as well. Use a live key.",
        PARTNER,
        status=403,
    ),
    "too_many_calls": Problem(
        "Too many calls",
        "This key has used up what it may call in a minute. Wait as long as Retry-After says.",
        PARTNER,
        status=429,
    ),
    "invalid_request": Problem(
        "The request cannot be taken",
        "Something in it is missing, unknown or of the wrong form; errors says what and where. Nothing was "
        "changed.",
        CUSTOMER,
        status=422,
    ),
    "unreadable_body": Problem(
        "The body cannot be read",
        "It has to be JSON in UTF-8 and of the length that was announced. Nothing was changed.",
        CUSTOMER,
    ),
    "invalid_cursor": Problem(
        "This cursor leads nowhere",
        "Use what next holds of the page before, unchanged and with the same filters.",
        CUSTOMER,
    ),
    "precondition_failed": Problem(
        "It has changed since you read it",
        "If-Match names another state than today's. Read it again and decide anew. Nothing was changed.",
        CUSTOMER,
        status=412,
    ),
    "idempotency_key_unusable": Problem(
        "This Idempotency-Key cannot be used",
        "It has to be 1 to 200 visible ASCII characters; a UUID is a good one.",
        CUSTOMER,
    ),
    "idempotency_key_reused": Problem(
        "This Idempotency-Key belongs to another request",
        "The same key came before with another method, address or body. Use a new key for a new request.",
        CUSTOMER,
        status=422,
    ),
    "idempotency_under_way": Problem(
        "The same request is under way",
        "The first one under this Idempotency-Key is not answered yet. Ask again in a moment.",
        CUSTOMER,
        status=409,
    ),
    "in_use": Problem(
        "Something depends on it",
        "An account goes only after its installations. Delete those first. Nothing was changed.",
        CUSTOMER,
        status=409,
    ),
    "not_connected": Problem(
        "This installation is not connected",
        "It holds no credential. Send its customer a setup link, or import a credential.",
        PARTNER,
        status=409,
    ),
    "webhooks_not_declared": Problem(
        "This connector receives no webhooks",
        "Its manifest does not say how the application signs webhooks, so there is no address for them.",
        PARTNER,
        status=409,
    ),
    "webhook_secret_not_expected": Problem(
        "No secret is to be entered here",
        "For this application the secret is made together with the address, or the application brings it "
        "along. Make the address without one.",
        CUSTOMER,
        status=409,
    ),
    "webhook_not_wanted": Problem(
        "None of your endpoints takes webhook.received",
        "So there is nobody to forward it to, and it stays here. Add an endpoint, or let one take that type.",
        PARTNER,
        status=409,
    ),
    "import_refused": Problem(
        "This credential was not imported",
        "{connector} did not confirm it, so nothing was stored. words says why.",
        PARTNER,
        status=422,
    ),
    "import_incomplete": Problem(
        "The credential works, and something is still to be said",
        "{connector} did not tell on its own what belongs to it, or offers several things to choose from. "
        "Nothing was stored: send the missing values along, or send the customer a setup link.",
        CUSTOMER,
        status=409,
    ),
    "would_need_consent": Problem(
        "Customers would have to authorise again",
        "With this change installations lose the client that they were authorised for; words says how many. "
        "Send accept_reauthorisation if that is meant. Nothing was changed.",
        CUSTOMER,
        status=409,
    ),
    "method_not_allowed": Problem(
        "This address does not take that method",
        "Allow says which ones it takes.",
        CUSTOMER,
        status=405,
    ),
    "body_too_large": Problem(
        "The body is too large",
        "At most 2.5 MB are read here. Nothing was changed.",
        CUSTOMER,
        status=413,
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
    "body_not_signable": Problem(
        "This body is too large for the credential",
        "{connector} wants the credential in the body, or a signature over it, which only small ones get. "
        "Nothing was sent.",
        PARTNER,
        status=413,
    ),
    "provider_timeout": Problem(
        "{connector} did not answer in time",
        "It got the request, or part of it; what it made of it is not known.",
        PROVIDER,
        status=504,
    ),
    "too_many_under_way": Problem(
        "Too many calls are under way",
        "Others are still being answered. Ask again in a moment.",
        PARTNER,
        status=503,
    ),
    "too_many_credentials": Problem(
        "Too many different credentials",
        "This key has fetched the credentials of as many installations as it may in a minute. The company's "
        "people are told; they can raise the limit on the key's page.",
        PARTNER,
        status=429,
    ),
    "api_down": Problem(
        "Something broke on our side",
        "Nothing that was asked for is known to be done. Try again; where that does not help, tell whoever "
        "runs this console the request_id.",
        OPERATOR,
        status=500,
    ),
}
