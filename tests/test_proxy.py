"""Calls to a provider by way of the console: what gets through, in which form, and what does not."""

import pytest
from django.test import Client

from installations.auth import Token
from tests.proxied import connected
from tests.stand_ins.quirks import Quirks, answer

pytestmark = pytest.mark.django_db
GOOD = answer('{"items": []}', close=False)


@pytest.fixture(autouse=True)
def _routes(settings):
    settings.ROOT_URLCONF = "tests.proxied"


@pytest.fixture
def provider(settings):
    with Quirks(GOOD) as server:
        settings.STAND_IN_ORIGINS = {"https://*": server.origin}
        yield server


@pytest.fixture
def stripe(account):
    return connected(account, "stripe", "restricted_key", Token(values={"api_key": "sk_live_1"}))


class Caller:
    """The partner's own software."""

    def __init__(self, installation):
        self.installation = installation
        self.base = f"/api/v1/installations/{installation.pk}/proxy/"

    def __call__(self, method: str, target: str = "items", body: bytes = b"", *, by=None, **headers):
        partner = by or self.installation.partner_id
        path, _, query = target.partition("?")
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return Client(HTTP_HOST="console.test").generic(
            method,
            self.base,
            body,
            content_type=headers.pop("Content-Type", ""),
            headers={**headers, "Authorization": f"Bearer {partner}"},
            QUERY_STRING=query,
            RAW_URI=self.base + target,
            PATH_INFO=self.base + path,
        )


def test_a_call_arrives_with_the_credential_and_comes_back_as_it_is(provider, stripe):
    found = Caller(stripe)("GET", "items?page=2&sort=a%20b")
    assert found.status_code == 200
    assert found.content == b'{"items": []}'
    (sent,) = provider.requests
    assert (sent.method, sent.target) == ("GET", "/v1/items?page=2&sort=a%20b")
    assert sent.headers["authorization"] == "Bearer sk_live_1"
    assert sent.headers["host"] == "api.stripe.com"
