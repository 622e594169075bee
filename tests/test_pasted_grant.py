"""A grant that the account obtained itself goes to the token endpoint as if it were ours."""

import json

import pytest

from connectors import registry
from installations.auth import DIRECT
from tests.stand_ins.quirks import Quirks, answer

# Lifetimes count from the database's clock.
pytestmark = pytest.mark.django_db

VALUES = {
    "client_id": "the-client",
    "client_secret": "the-client-secret",
    "refresh_token": "Atzr|as-entered",
    "api_host": "sellingpartnerapi-eu.amazon.com",
}


@pytest.mark.parametrize(
    ("told", "kept"), [({}, "Atzr|as-entered"), ({"refresh_token": "Atzr|new"}, "Atzr|new")]
)
def test_a_refresh_token_goes_on_unless_another_comes(told, kept, settings):
    asked = []

    def respond(request):
        asked.append(request.body.decode())
        return answer(json.dumps({"access_token": "token", "expires_in": 3600, **told}))

    method = registry.get("amazon-seller-central").manifest.method("pasted_grant")
    with Quirks(respond) as server:
        settings.STAND_IN_ORIGINS = {"https://*": server.origin}
        token = DIRECT["pasted_grant"]().obtain(method, VALUES, ["a-scope"])
    assert token.refresh_token == kept
    assert "grant_type=refresh_token" in asked[0]
    assert "refresh_token=Atzr%7Cas-entered" in asked[0]
    assert "client_secret=the-client-secret" in asked[0]
    assert "scope" not in asked[0]
