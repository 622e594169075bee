"""What has been installed goes on by the manifest it was installed with, until it is upgraded."""

import shutil

import pytest

from connectors import registry, releases
from connectors.models import Release
from console.models import Event
from installations.models import Installation, Status
from tests.conftest import open_link, work
from tests.test_walks import connected  # noqa: F401 - a fixture

pytestmark = pytest.mark.django_db
SLUG = "heartland-retail"


@pytest.fixture
def folder(settings, tmp_path):
    """A library of one's own, with the connector in it, to be changed."""
    source = settings.CONNECTOR_LIBRARIES[0] / SLUG
    shutil.copytree(source, tmp_path / SLUG)
    settings.CONNECTOR_LIBRARIES = [tmp_path]
    registry.all.cache_clear()
    yield tmp_path / SLUG
    registry.all.cache_clear()


def change(folder, *pairs: tuple[str, str]) -> None:
    path = folder / "manifest.toml"
    text = path.read_text(encoding="utf-8")
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text, encoding="utf-8")
    registry.all.cache_clear()


MINOR = ('version = "1.0"', 'version = "1.1"')
ELSEWHERE = ('url = "https://${host}/api/system/whoami"', 'url = "https://${host}/api/system/elsewhere"')
ASKS_MORE = (
    "[discovery]",
    """[[properties]]
name = "store_code"
label = "Store Code"
description = "The code of the store."
level = "account"
help_anchors = ["generate-an-api-token"]

[discovery]""",
)


def test_a_connected_installation_remembers_the_release_it_was_made_with(folder, connected):  # noqa: F811
    assert connected.release.version == "1.0"
    assert connected.newer is None
    change(folder, MINOR, ELSEWHERE)
    connected = Installation.objects.get()
    assert connected.definition.manifest.version == "1.0"
    assert connected.newer.manifest.version == "1.1"


def test_it_goes_on_as_before_until_it_is_upgraded(folder, owner, connected):  # noqa: F811
    change(folder, MINOR, ELSEWHERE)
    url = f"/installations/{connected.pk}/"
    assert "It works" in owner.client.post(f"{url}test/", follow=True).content.decode()
    page = owner.client.get(url).content.decode()
    assert "1.1 is there" in page
    page = owner.client.post(f"{url}upgrade/", follow=True).content.decode()
    assert "It uses version 1.1 now" in page
    connected.refresh_from_db()
    assert connected.definition.manifest.version == "1.1"
    assert connected.status == Status.CONNECTED
    assert Event.objects.get(kind="installation.upgraded").actor == owner.user.email
    # By the new manifest: the stand-in has nothing there.
    assert "It works" not in owner.client.post(f"{url}test/", follow=True).content.decode()


def test_a_release_that_asks_for_more_is_not_put_under_a_working_installation(
    folder,
    owner,
    heartland,
    connected,  # noqa: F811
):
    change(folder, ('version = "1.0"', 'version = "2.0"'), ASKS_MORE)
    url = f"/installations/{connected.pk}/"
    page = owner.client.post(f"{url}upgrade/", follow=True).content.decode()
    assert "The new version asks for something that is not there yet" in page
    assert Installation.objects.get().definition.manifest.version == "1.0"
    # Re-authorising is for today's release: it asks, and brings the installation up to it.
    owner.client.post(f"{url}reauthorise/")
    form = {"access_token": heartland.token(), "store_code": "42"}
    assert owner.client.post(f"{url}setup/details/", form).headers["Location"] == f"{url}setup/done/"
    assert Installation.objects.get().definition.manifest.version == "2.0"


def test_all_of_a_connectors_installations_are_upgraded_at_once(folder, owner, stranger, account):
    digest = releases.keep(registry.get(SLUG))
    for _ in range(3):
        Installation.objects.create(
            partner=account.partner, account=account, connector=SLUG, release_id=digest
        )
    change(folder, MINOR)
    page = owner.client.get(f"/installations/?connector={SLUG}").content.decode()
    assert "3 installations use an earlier version." in page
    stranger.client.post(f"/installations/upgrade/{SLUG}/")
    assert Installation.objects.filter(release_id=digest).count() == 3
    under_way = owner.client.post(f"/installations/upgrade/{SLUG}/", follow=True)
    assert "They are being upgraded" in under_way.content.decode()
    assert under_way["Refresh"]
    work()
    assert not Installation.objects.filter(release_id=digest).exists()
    done = owner.client.get(f"/installations/?connector={SLUG}")
    assert "earlier version" not in done.content.decode()
    assert "Refresh" not in done


def test_what_cannot_be_upgraded_is_said_and_not_offered_again(folder, owner, connected):  # noqa: F811
    before = Installation.objects.get(pk=connected.pk).release_id
    change(folder, MINOR, ASKS_MORE)
    owner.client.post(f"/installations/upgrade/{SLUG}/")
    work()
    page = owner.client.get(f"/installations/?connector={SLUG}").content.decode()
    assert "1 installation could not be upgraded." in page
    assert "Upgrade all" not in page
    assert Installation.objects.get(pk=connected.pk).release_id == before


def test_a_connector_that_left_the_library_leaves_its_installations_usable(folder, owner, connected):  # noqa: F811
    shutil.rmtree(folder)
    registry.all.cache_clear()
    url = f"/installations/{connected.pk}/"
    assert "It works" in owner.client.post(f"{url}test/", follow=True).content.decode()
    for path in ("", "edit/", "reauthorise/", "disconnect/", "delete/", "links/"):
        assert owner.client.get(f"{url}{path}").status_code == 200
    assert "Heartland Retail" in owner.client.get("/installations/").content.decode()


def test_where_nobody_knows_any_more_what_it_was_pages_say_so(folder, owner, installation):
    shutil.rmtree(folder)
    registry.all.cache_clear()
    url = f"/installations/{installation.pk}/"
    assert "no longer in the library" in owner.client.get(url).content.decode()
    assert owner.client.get(f"{url}setup/").status_code == 409
    assert owner.client.post(f"{url}test/", follow=True).status_code == 200
    browser, link, _ = open_link(installation)
    assert browser.get(f"/setup/{link.pk}/").status_code == 409
    assert owner.client.post(f"{url}delete/").status_code == 302


def test_the_same_content_is_the_same_release(folder):
    first = releases.keep(registry.get(SLUG))
    registry.all.cache_clear()
    assert releases.keep(registry.get(SLUG)) == first
    assert Release.objects.count() == 1
    change(folder, MINOR)
    assert releases.keep(registry.get(SLUG)) != first
