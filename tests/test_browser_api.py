"""API keys and the reference in a real browser: made, tried, rotated, revoked."""

import json

import pytest
from playwright.sync_api import expect

from tests import test_browser

pytestmark = pytest.mark.browser

chromium, visit, viewport = test_browser.chromium, test_browser.visit, test_browser.viewport


def shown(admin) -> str:
    return admin.page.locator("#api-key").inner_text()


def tries(admin, operation: str, key: str, **values: str) -> tuple[int, dict]:
    """Send the reference's form of that operation: the status and the body that are shown."""
    admin.page.locator("#try-key").fill(key)
    part = admin.page.locator(f"#{operation} details.part").last
    if part.get_attribute("open") is None:
        part.locator("summary").first.click()
    for name, value in values.items():
        part.locator(f"[data-name={name}], [data-in={name}]").first.fill(value)
    part.locator("[data-tried-status]").evaluate("it => it.textContent = ''")
    part.get_by_role("button", name="Send").click()
    expect(part.locator("[data-tried-status]")).not_to_be_empty()
    status = part.locator("[data-tried-status]").inner_text()
    return int(status.split()[0]), json.loads(part.locator("[data-tried-body]").inner_text())


def test_a_key_is_made_tried_rotated_and_revoked(visit, product, viewport):
    admin = visit(viewport).signs_in(product.admin).chooses("API keys").looks()
    admin.clicks("Make a key", "link").looks()
    admin.enters(Name="Nightly import")
    admin.page.get_by_label("read: ", exact=False).check()
    admin.page.get_by_label("write: ", exact=False).check()
    admin.page.get_by_label("Expires", exact=True).select_option("on")
    expect(admin.page.get_by_label("Its last day")).to_be_visible()
    admin.page.get_by_label("Expires", exact=True).select_option("30")
    admin.clicks("Make key").sees("Copy it now").looks()
    first = shown(admin)
    admin.context.grant_permissions(["clipboard-read", "clipboard-write"])
    admin.page.locator("[data-copy='#api-key']").click()
    assert admin.page.evaluate("navigator.clipboard.readText()") == first
    assert "$API_KEY" in admin.page.locator("#api-call").inner_text()
    admin.clicks("I have stored it", "link").looks()
    assert first not in admin.page.content()

    admin.chooses("API reference").looks()
    asked = []
    admin.page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.accept()))
    status, body = tries(admin, "list_accounts", first, limit="1")
    assert (status, len(body["data"])) == (200, 1)
    assert tries(admin, "list_accounts", first, q="no such customer")[1]["data"] == []
    status, body = tries(admin, "create_account", first, body='{"name": ""}')
    assert (status, body["code"]) == (422, "invalid_request")
    # Of all that was tried one thing would have changed something.
    assert asked == ["This is done for real. Go on?"]
    assert tries(admin, "list_accounts", "pc_live_wrong")[0] == 401
    assert tries(admin, "list_accounts", "")[1]["code"] == "key_missing"
    admin.looks()
    # The key is gone with the page.
    admin.page.reload()
    assert admin.page.locator("#try-key").input_value() == ""
    stored = "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
    assert first not in admin.page.evaluate(stored)

    admin.chooses("API keys").clicks("Nightly import", "link")
    admin.clicks("Rotate", "link").looks()
    admin.page.get_by_label("The secret until now").select_option("0")
    admin.clicks("Rotate key").sees("has a new secret").looks()
    second = shown(admin)
    admin.chooses("API reference")
    assert [tries(admin, "list_accounts", key)[0] for key in (first, second)] == [401, 200]
    admin.chooses("API keys").clicks("Nightly import", "link")
    admin.clicks("Revoke", "link").looks().clicks("Revoke key").sees("opens nothing any more").looks()
    admin.chooses("API reference")
    assert tries(admin, "list_accounts", second)[1]["code"] == "key_revoked"


def test_the_reference_is_filtered_while_it_is_typed(visit, product):
    admin = visit().signs_in(product.admin).goes_to("/api/reference/")
    operations = admin.page.locator(".operation:visible")
    assert operations.count() > 25
    admin.page.get_by_label("Filter the operations").fill("setup-links delete")
    expect(operations).to_have_count(1)
    expect(admin.page.locator(".operations details", has_text="Setup links").locator("small")).to_have_text(
        "1"
    )
    expect(admin.page.locator(".operations details", has_text="Events").locator("small")).to_have_text("0")
    admin.page.get_by_label("Filter the operations").fill("no such thing")
    expect(operations).to_have_count(0)
    admin.sees("Nothing matches")


def test_the_reference_can_be_read_without_scripts(visit, product):
    admin = visit(java_script_enabled=False).signs_in(product.admin).goes_to("/api/reference/")
    expect(admin.page.locator("#list_accounts h3")).to_be_visible()
    expect(admin.page.get_by_text("Try it", exact=True).first).to_be_hidden()
    admin.page.locator("#list_accounts summary", has_text="With curl").click()
    expect(admin.page.locator("#curl-list_accounts")).to_contain_text("Authorization: Bearer $API_KEY")
    expect(admin.page.locator("#curl-list_accounts")).to_be_visible()


def test_anybody_reads_what_a_problem_means(visit, viewport):
    visit(viewport).goes_to("/api/problems/#key_revoked").sees("This API key was revoked").looks()
