"""The API explorer in a real browser: from the menu to an answer, by pointer and without scripts."""

import pytest
from playwright.sync_api import expect

from tests import test_browser
from tests.test_browser import chooses_the_way, installs

pytestmark = pytest.mark.browser

chromium, visit, viewport = test_browser.chromium, test_browser.visit, test_browser.viewport
_everything_works = test_browser._everything_works


def connects(admin, product) -> None:
    installs(admin, "Install and set up now")
    chooses_the_way(admin, "API Token")
    admin.enters(API_Token=product.heartland.token()).clicks("Connect").sees("is connected")


def test_a_partner_admin_calls_a_provider_by_hand(visit, product, viewport):
    admin = visit(viewport).signs_in(product.admin)
    connects(admin, product)
    admin.clicks("Go to the installation", "link").looks().clicks("Explore the API", "link").looks()
    admin.sees("https://harbor.retail.heartland.us/api/")
    confirmation = admin.page.get_by_label(
        "This changes data of Harbor Street Outfitters at Heartland Retail."
    )
    expect(confirmation).to_be_hidden()
    admin.clicks("GET /system/whoami", "link").clicks("Send").sees("200 OK").looks()
    answer = admin.page.locator("#explorer-body")
    expect(answer).to_contain_text('"account_name": "Harbor Street Outfitters"')
    # The answer is in sight, and what was sent below it.
    expect(admin.page.locator("#answer h2").first).to_be_in_viewport()
    admin.sees("Authorization: Bearer •••")
    admin.context.grant_permissions(["clipboard-read", "clipboard-write"])
    admin.page.locator("[data-copy='#explorer-curl']").click()
    assert "/proxy/system/whoami" in admin.page.evaluate("navigator.clipboard.readText()")

    admin.page.get_by_label("Method", exact=True).select_option("POST")
    admin.enters(Path="items", Body='{"description": "Wool socks",}')
    expect(confirmation).to_be_visible()
    admin.clicks("Send").sees("This is no JSON").sees("Confirm that you mean it").looks()
    admin.enters(Body='{"description": "<b>Wool</b> socks"}')
    confirmation.check()
    admin.clicks("Send").sees("201 Created").looks()
    expect(confirmation).not_to_be_checked()
    admin.page.get_by_label("Method", exact=True).select_option("GET")
    admin.enters(Path="items?per_page=all").clicks("Send")
    expect(answer).to_contain_text('"description": "<b>Wool</b> socks"')

    product.heartland.switch(api_down=True)
    admin.clicks("Send").sees("503 Service Unavailable").looks()
    product.heartland.switch(api_down=False)
    admin.page.get_by_role("link", name="Use POST /items again").click()
    expect(admin.page.get_by_label("Method", exact=True)).to_have_value("POST")
    expect(admin.page.get_by_label("Path", exact=True)).to_have_value("items")


def test_it_is_found_in_the_menu_and_works_without_scripts(visit, product):
    admin = visit(java_script_enabled=False).signs_in(product.admin)
    connects(admin, product)
    admin.goes_to("/").chooses("API explorer")
    admin.clicks("Explore Heartland Retail of Harbor Street Outfitters, Harbor Street Outfitters", "link")
    admin.enters(Path="items", Body="{}")
    admin.page.get_by_label("Method", exact=True).select_option("POST")
    admin.clicks("Send").sees("Confirm that you mean it")
    admin.page.get_by_label("This changes data of").check()
    admin.clicks("Send").sees("201 Created")


@pytest.mark.appearance
def test_the_list_to_pick_from_is_looked_at(visit, product, viewport):
    admin = visit(viewport).signs_in(product.admin)
    connects(admin, product)
    admin.goes_to("/explorer/").sees("Harbor Street Outfitters").looks()
