"""A partner lets a provider send webhooks, in a real browser against the real server."""

import re
from types import SimpleNamespace

import pytest
import requests
from playwright.sync_api import expect

from connectors import registry
from installations.hooks import signatures
from installations.hooks.signatures import Incoming
from tests.test_browser import chromium, viewport, visit  # noqa: F401 - fixtures

pytestmark = pytest.mark.browser

INSTALL = """
from console.models import Account
from installations.models import Installation
account = Account.objects.order_by("name").first()
for slug in ("github", "slack"):
    print(Installation.objects.create(
        partner=account.partner, account=account, connector=slug, status="connected",
        auth_method="authorization_code", external_account_id=slug, external_account_name="Harbor Street"
    ).pk)
"""
BODY = b'{"action": "opened", "number": 7, "repository": {"full_name": "harbor-street/till"}}'


@pytest.fixture
def installed(product) -> SimpleNamespace:
    ids = re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", product.shell(INSTALL))
    yield SimpleNamespace(github=ids[0], slack=ids[1])
    product.shell(
        f"from installations.models import Installation as I; I.objects.filter(pk__in={ids}).delete()"
    )


def sends(address: str, secret: str, event: str, delivery: str, body: bytes = BODY) -> int:
    """What GitHub does."""
    webhook = registry.get("github").manifest.webhook
    signature = signatures.sign(webhook, Incoming("POST", address, {}, body), secret)
    headers = {"X-GitHub-Event": event, "X-GitHub-Delivery": delivery, "Content-Type": "application/json"}
    headers["X-Hub-Signature-256"] = f"sha256={signature}"
    return requests.post(address, body, headers=headers, timeout=10).status_code


def test_an_address_is_registered_and_what_comes_is_looked_at(visit, product, viewport, installed):  # noqa: F811
    admin = visit(viewport).signs_in(product.admin).goes_to(f"/installations/{installed.github}/")
    admin.sees("Webhooks from GitHub").looks()
    admin.clicks("Make an address", "link").looks()
    admin.clicks("Make the address").sees("The webhook address is ready").looks()
    address, secret = (admin.page.locator(f"#hook-{name}").inner_text() for name in ("address", "secret"))
    admin.clicks("I have stored it", "link").sees("Nothing has come yet").looks()
    assert secret not in admin.page.content()
    assert [sends(address, secret, "issues", "d-1") for _ in range(2)] == [200, 200]
    assert sends(address, "wrong", "issues", "d-2") == 401
    admin.page.reload()
    admin.sees("1 request was refused").looks()
    admin.clicks("Show all", "link").looks()
    expect(admin.page.locator("tbody tr")).to_have_count(1)
    admin.clicks("issues", "link").sees("harbor-street/till").looks()
    admin.clicks("Forward again").sees("it stays here").looks()
    admin.goes_to(f"/installations/{installed.github}/").clicks("New address", "link").looks()
    admin.clicks("Make a new address").sees("The webhook address is ready")
    assert sends(address, secret, "issues", "d-3") == 404


def test_a_secret_of_the_providers_is_entered(visit, product, viewport, installed):  # noqa: F811
    admin = visit(viewport).signs_in(product.admin).goes_to(f"/installations/{installed.slack}/webhooks/")
    admin.clicks("Make an address", "link").sees("Use an app that serves this installation alone").looks()
    admin.clicks("Make the address").looks()
    admin.goes_to(f"/installations/{installed.slack}/").sees("Signing Secret missing").looks()
    admin.clicks("Enter it", "link").looks()
    admin.page.get_by_label("Signing Secret").fill("8f742231b10e8888abcd99yyyzzz85a5")
    admin.clicks("Store it").sees("The Signing Secret was stored").looks()
    assert "8f742231" not in admin.page.content()
