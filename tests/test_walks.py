"""The main job from end to end, against the stand-in for Heartland Retail, without a browser."""

import re

import pytest
from django.core import mail

from connectors.models import ConnectorSettings
from installations.models import Credential, CredentialVersion, Installation, Status
from tests.conftest import consent_at_heartland, open_link

pytestmark = pytest.mark.django_db


def path(url: str) -> str:
    return url.removeprefix("http://console.test")


def store_client(owner, heartland) -> None:
    """What the founding document's partner does, with values that the stand-in knows."""
    redirect_uri = ConnectorSettings(
        id=ConnectorSettings.registration_id(owner.partner.pk, "heartland-retail")
    ).redirect_uri
    client_id, client_secret = heartland.register(redirect_uri)
    answer = owner.client.post(
        "/connectors/library/heartland-retail/settings/",
        {"client_id": client_id, "client_secret": client_secret},
    )
    assert answer.status_code == 302


def test_a_customer_connects_with_an_api_token(heartland, installation):
    browser, link, _ = open_link(installation)
    base = f"/setup/{link.pk}/"
    assert browser.get(base).headers["Location"] == f"{base}review/"
    assert "Northwind Software" in browser.get(f"{base}review/").content.decode()
    assert browser.post(f"{base}review/").headers["Location"] == f"{base}method/"
    assert browser.post(f"{base}method/", {"auth_method": "api_key"}).headers["Location"] == f"{base}details/"
    page = browser.get(f"{base}details/").content.decode()
    assert re.findall(r'<input type="(?:text|password)"', page) == ['<input type="password"']
    answer = browser.post(f"{base}details/", {"access_token": heartland.token()})
    assert answer.headers["Location"] == f"{base}done/"
    assert "Harbor Street Outfitters" in browser.get(f"{base}done/").content.decode()
    installation.refresh_from_db()
    assert installation.status == Status.CONNECTED
    assert installation.external_account_id == "harbor.retail.heartland.us"
    link.refresh_from_db()
    assert link.state == "completed"


def test_a_wrong_token_is_said_beside_its_field_and_nothing_is_kept(heartland, installation):
    browser, link, _ = open_link(installation)
    base = f"/setup/{link.pk}/"
    browser.post(f"{base}review/")
    browser.post(f"{base}method/", {"auth_method": "api_key"})
    answer = browser.post(f"{base}details/", {"access_token": "nonsense"})
    assert answer.status_code == 422
    assert "does not accept this API Token" in answer.content.decode()
    assert "nonsense" not in answer.content.decode()
    assert not CredentialVersion.objects.exists()
    assert not installation.open_setup().values
    assert installation.open_setup().token is None


def test_the_subdomain_is_asked_only_when_the_look_up_fails(heartland, installation):
    heartland.switch(host_lookup_fails=True)
    browser, link, _ = open_link(installation)
    base = f"/setup/{link.pk}/"
    browser.post(f"{base}review/")
    browser.post(f"{base}method/", {"auth_method": "api_key"})
    answer = browser.post(f"{base}details/", {"access_token": heartland.token()})
    assert answer.headers["Location"] == f"{base}address/"
    assert 'name="subdomain"' in browser.get(f"{base}address/").content.decode()
    assert browser.post(f"{base}address/", {"subdomain": "Evil.com#"}).status_code == 422
    assert browser.post(f"{base}address/", {"subdomain": "pine"}).status_code == 422
    answer = browser.post(f"{base}address/", {"subdomain": "https://harbor.retail.heartland.us/"})
    assert answer.headers["Location"] == f"{base}done/"
    installation.refresh_from_db()
    assert installation.external_account_id == "harbor.retail.heartland.us"
    # The token was entered once and is gone from the draft.
    assert installation.open_setup() is None


def test_a_customer_connects_with_oauth_and_is_asked_nothing_that_is_stored(heartland, owner, installation):
    store_client(owner, heartland)
    browser, link, _ = open_link(installation)
    base = f"/setup/{link.pk}/"
    browser.post(f"{base}review/")
    assert (
        browser.post(f"{base}method/", {"auth_method": "authorization_code"}).headers["Location"]
        == f"{base}consent/"
    )
    assert heartland.origin in browser.get(f"{base}consent/").headers["Content-Security-Policy"]
    answer = browser.post(f"{base}consent/")
    assert answer.status_code == 303
    installation.refresh_from_db()
    assert installation.status == Status.WAITING
    back = consent_at_heartland(answer.headers["Location"])
    answer = browser.get(path(back))
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{base}done/")
    installation.refresh_from_db()
    assert installation.status == Status.CONNECTED
    assert installation.external_account_name == "Harbor Street Outfitters"


def test_what_the_partner_leaves_blank_is_asked_at_the_installation(heartland, owner, installation):
    base = f"/installations/{installation.pk}/setup/"
    owner.client.post(f"{base}review/")
    assert (
        owner.client.post(f"{base}method/", {"auth_method": "authorization_code"}).headers["Location"]
        == f"{base}details/"
    )
    page = owner.client.get(f"{base}details/").content.decode()
    redirect_uri = f"http://console.test/oauth/callback/{installation.pk}/"
    assert redirect_uri in page
    assert 'name="client_id"' in page
    client_id, client_secret = heartland.register(redirect_uri)
    answer = owner.client.post(f"{base}details/", {"client_id": client_id, "client_secret": client_secret})
    assert answer.headers["Location"] == f"{base}consent/"
    back = consent_at_heartland(owner.client.post(f"{base}consent/").headers["Location"])
    assert owner.client.get(path(back)).headers["Location"] == f"{base}done/"
    installation.refresh_from_db()
    assert installation.status == Status.CONNECTED
    assert installation.connected_by == owner.user.email


def test_declined_consent_leads_to_a_page_of_ours_and_the_link_still_works(heartland, owner, installation):
    store_client(owner, heartland)
    browser, link, url = open_link(installation)
    base = f"/setup/{link.pk}/"
    browser.post(f"{base}review/")
    browser.post(f"{base}method/", {"auth_method": "authorization_code"})
    back = consent_at_heartland(browser.post(f"{base}consent/").headers["Location"], decision="deny")
    answer = browser.get(path(back))
    page = browser.get(answer.headers["Location"])
    assert page.status_code == 400
    assert "You did not allow access" in page.content.decode()
    assert "access_denied" in page.content.decode()
    assert browser.get(path(url)).status_code == 302
    back = consent_at_heartland(browser.post(f"{base}consent/").headers["Location"])
    assert browser.get(path(back)).headers["Location"] == f"{base}done/"


@pytest.fixture
def connected(heartland, owner, installation) -> Installation:
    base = f"/installations/{installation.pk}/setup/"
    owner.client.post(f"{base}review/")
    owner.client.post(f"{base}method/", {"auth_method": "api_key"})
    owner.client.post(f"{base}details/", {"access_token": heartland.token()})
    installation.refresh_from_db()
    assert installation.status == Status.CONNECTED
    return installation


def test_a_test_tells_a_revoked_token_from_an_outage(heartland, owner, connected):
    url = f"/installations/{connected.pk}/test/"
    page = owner.client.post(url, follow=True).content.decode()
    assert "It works: Heartland Retail answered for Harbor Street Outfitters." in page
    heartland.switch(api_down=True)
    page = owner.client.post(url, follow=True).content.decode()
    assert "does not answer right now" in page
    connected.refresh_from_db()
    assert connected.status == Status.CONNECTED
    heartland.switch(api_down=False)
    heartland.post("/_tokens/revoke", {"token": connected.current_token().access_token})
    page = owner.client.post(url, follow=True).content.decode()
    assert "Heartland Retail does not accept this credential" in page
    connected.refresh_from_db()
    assert (connected.status, connected.problem) == (Status.ATTENTION, "credential_rejected")


def test_re_authorising_keeps_the_id_and_refuses_another_account_unless_it_is_chosen(
    heartland, owner, connected
):
    base = f"/installations/{connected.pk}/"
    first = connected.current_token().access_token
    assert owner.client.post(f"{base}reauthorise/").headers["Location"] == f"{base}setup/"
    answer = owner.client.post(f"{base}setup/details/", {"access_token": heartland.token("pine")})
    page = owner.client.get(answer.headers["Location"]).content.decode()
    assert "That is another account" in page
    assert connected.current_token().access_token == first
    owner.client.post(f"{base}setup/switch/")
    answer = owner.client.post(f"{base}setup/details/", {"access_token": heartland.token("pine")})
    assert answer.headers["Location"] == f"{base}setup/done/"
    connected.refresh_from_db()
    assert connected.external_account_id == "pine.retail.heartland.us"
    assert Credential.objects.count() == CredentialVersion.objects.count() == 1


def test_disconnecting_leaves_no_secret_behind(owner, connected):
    owner.client.post(f"/installations/{connected.pk}/disconnect/")
    connected.refresh_from_db()
    assert connected.status == Status.DISCONNECTED
    assert connected.values is None
    assert not CredentialVersion.objects.exists()


def test_a_setup_link_is_mailed_and_its_address_is_in_no_table(heartland, owner, installation):
    answer = owner.client.post(
        f"/installations/{installation.pk}/links/", {"email": "manager@harbor.example"}
    )
    url = re.search(r"http://console.test/s/[^/]+/", answer.content.decode()).group()
    assert mail.outbox[0].to == ["manager@harbor.example"]
    assert url in mail.outbox[0].body


def test_a_token_that_could_not_be_checked_is_kept_and_checked_again(heartland, installation):
    browser, link, _ = open_link(installation)
    base = f"/setup/{link.pk}/"
    browser.post(f"{base}review/")
    browser.post(f"{base}method/", {"auth_method": "api_key"})
    heartland.switch(whoami_fails=True)
    answer = browser.post(f"{base}details/", {"access_token": heartland.token()})
    page = browser.get(answer.headers["Location"]).content.decode()
    assert "does not answer right now" in page
    assert browser.get(base).headers["Location"] == f"{base}check/"
    assert "still to be checked" in browser.get(f"{base}check/").content.decode()
    assert "/problem-" in browser.post(f"{base}check/").headers["Location"]
    heartland.switch(whoami_fails=False)
    assert browser.post(f"{base}check/").headers["Location"] == f"{base}done/"
    installation.refresh_from_db()
    assert installation.status == Status.CONNECTED


def test_a_token_that_is_no_good_after_all_is_asked_for_anew(heartland, installation):
    browser, link, _ = open_link(installation)
    base = f"/setup/{link.pk}/"
    browser.post(f"{base}review/")
    browser.post(f"{base}method/", {"auth_method": "api_key"})
    heartland.switch(whoami_fails=True)
    token = heartland.token()
    browser.post(f"{base}details/", {"access_token": token})
    heartland.switch(whoami_fails=False)
    heartland.post("/_tokens/revoke", {"token": token})
    assert "/problem-" in browser.post(f"{base}check/").headers["Location"]
    assert installation.open_setup().token is None
    assert browser.get(base).headers["Location"] == f"{base}details/"


def test_a_mail_that_cannot_be_sent_is_said_and_the_link_is_good(owner, installation, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    answer = owner.client.post(
        f"/installations/{installation.pk}/links/", {"email": "manager@harbor.example"}
    )
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "It could not be mailed to manager@harbor.example" in page
    url = re.search(r"http://console.test/s/[^/]+/", page).group()
    assert owner.client.get(path(url)).status_code == 302
    assert "it could not be mailed" in owner.client.get(f"/installations/{installation.pk}/").content.decode()


def test_a_late_test_of_an_old_token_does_not_blame_the_new_one(heartland, owner, connected):
    old = connected.current_version()
    owner.client.post(f"/installations/{connected.pk}/reauthorise/")
    owner.client.post(
        f"/installations/{connected.pk}/setup/details/", {"access_token": heartland.token("harbor")}
    )
    assert not connected.need_attention("credential_rejected", old)
    connected.refresh_from_db()
    assert connected.status == Status.CONNECTED
    assert connected.need_attention("credential_rejected", connected.current_version())


def test_what_was_entered_for_another_way_is_not_kept(heartland, owner, installation):
    base = f"/installations/{installation.pk}/setup/"
    owner.client.post(f"{base}review/")
    owner.client.post(f"{base}method/", {"auth_method": "authorization_code"})
    owner.client.post(f"{base}details/", {"client_id": "mine", "client_secret": "mine-alone"})
    owner.client.post(f"{base}method/", {"auth_method": "api_key"})
    owner.client.post(f"{base}details/", {"access_token": heartland.token()})
    installation.refresh_from_db()
    assert installation.status == Status.CONNECTED
    assert "client_secret" not in (installation.values or {})
