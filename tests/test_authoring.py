"""A partner's own connectors: made, tried out, released, exported, deleted; what is refused on the way."""

import io
import json
import re
import shutil
import stat
import subprocess
import zipfile

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command

from connectors import logo, registry
from connectors.authoring import folder
from connectors.authoring.beginning import begin
from connectors.authoring.documents import BadDocument
from connectors.models import ConnectorSettings, CustomConnector, Publication, Release
from console.models import Account, Event
from installations.models import CredentialVersion, Installation, Status
from tests.conftest import open_link, work
from tests.stand_ins.quirks import Quirks, Request, answer

pytestmark = pytest.mark.django_db

MANIFEST, GUIDE = begin("acme")
HOME = "/connectors/library/custom-acme/"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10"><rect width="10" height="10"/></svg>'
FORM = {
    "name": "Acme Shop",
    "summary": "Sells anvils.",
    "category": "commerce",
    "source": "https://dev.acme.example/docs?version=2",
    "base_url": "https://api.acme.example/v1",
    "verification_url": "https://api.acme.example/v1/me?fields=id",
    "account_id": "id",
    "way": "header",
    "parameter": "Authorization",
    "before": "Bearer ",
}


def make(person, manifest: str = MANIFEST, guide: str = GUIDE, key: str = "acme", **files):
    form = {"key": key, "manifest": manifest, "guide": guide, **files}
    return person.client.post("/connectors/add/manifest/", form)


def save(person, manifest: str, guide: str = GUIDE, **files):
    return person.client.post(f"{HOME}definition/", {"manifest": manifest, "guide": guide, **files})


def publish(person, version: str) -> str:
    return person.client.post(f"{HOME}publish/", {"version": version}, follow=True).content.decode()


def faults(answer) -> str:
    assert answer.status_code == 422
    return " ".join(re.findall(r'class="errorlist[^"]*".*?</ul>', answer.content.decode(), re.DOTALL))


@pytest.fixture
def draft(owner) -> CustomConnector:
    assert make(owner).headers["Location"] == f"{HOME}definition/"
    return CustomConnector.objects.get()


@pytest.fixture
def live(owner, draft) -> CustomConnector:
    assert "Version 1.0 is live" in publish(owner, "1.0")
    draft.refresh_from_db()
    return draft


def who(request: Request) -> bytes:
    """The API of Acme: two paths that say who asks, to whoever has the key."""
    if request.headers.get("authorization") != "Bearer good-key":
        return answer('{"error": "no"}', status="401 Unauthorized")
    name = "Anvils of Harbor Street" if request.target == "/v1/me" else "Anvils elsewhere"
    return answer(json.dumps({"id": "42", "name": name}))


@pytest.fixture
def acme(settings):
    with Quirks(who) as server:
        settings.STAND_IN_ORIGINS = {"https://api.acme.example": server.origin}
        yield server


def connect(client, base: str, key: str = "good-key"):
    """Go through a setup to its end; the last page."""
    client.post(f"{base}review/")
    return client.post(f"{base}details/", {"api_key": key}, follow=True).content.decode()


# ── made from a form, a manifest, a folder ──


def test_a_form_makes_a_draft_that_only_its_partner_sees(owner, colleague, stranger):
    done = owner.client.post("/connectors/add/form/", FORM)
    home = "/connectors/library/custom-acme-shop/"
    assert done.headers["Location"] == f"{home}definition/"
    assert "Acme Shop" in colleague.client.get("/connectors/library/").content.decode()
    assert "Acme Shop" not in stranger.client.get("/connectors/library/").content.decode()
    assert stranger.client.get(home).status_code == 404
    manifest = CustomConnector.objects.get().draft.manifest
    assert manifest.source == ("https://dev.acme.example/docs?version=2",)
    assert manifest.verification.url == "https://api.acme.example/v1/me?fields=id"
    assert manifest.method("api_key").inject.headers == {"Authorization": "Bearer ${api_key}"}


OAUTH = {
    "authorization_endpoint": "https://acme.example/authorize",
    "token_endpoint": "https://acme.example/token",
    "scopes": "read write",
}


@pytest.mark.parametrize(
    ("way", "more", "kind"),
    [
        ("query", {"parameter": "key"}, "api_key"),
        ("http_basic", {}, "http_basic"),
        ("authorization_code", OAUTH, "authorization_code"),
        ("client_credentials", OAUTH, "client_credentials"),
    ],
)
def test_a_form_makes_each_way_to_connect(owner, way, more, kind):
    owner.client.post("/connectors/add/form/", {**FORM, "way": way, **more})
    (method,) = CustomConnector.objects.get().draft.manifest.auth_methods
    assert method.type == kind
    assert getattr(method, "default_scopes", ("read", "write")) == ("read", "write")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("name", "", "required"),
        ("name", "Acme\x00", "Null characters"),
        ("parameter", "two words", "A name without spaces"),
        ("parameter", "", "required"),
        ("base_url", "http://api.acme.example", "begins with https://"),
        ("base_url", "https://[x", "This is no address"),
        ("base_url", "https://", "A host name stands behind"),
        ("base_url", "https://a.example:port/", "This is no address"),
        ("base_url", "https://a.example/?a=b", "without a question mark"),
        ("base_url", "https://maya:secret@a.example/", "without “@”"),
        ("base_url", "https://a.example/${client_secret}", "without “$”"),
        ("verification_url", "javascript:alert(1)", "begins with https://"),
        ("category", "anvils", "not one of the available choices"),
        ("key", "../acme", "Letters and digits"),
    ],
)
def test_a_form_says_beside_its_field_what_is_wrong(owner, field, value, words):
    page = owner.client.post("/connectors/add/form/", {**FORM, field: value})
    assert words in faults(page)
    assert not CustomConnector.objects.exists()


def test_a_manifest_becomes_a_draft_byte_by_byte(owner, draft):
    assert (draft.manifest, draft.guide, bytes(draft.logo)) == (MANIFEST, GUIDE, b"")
    assert draft.state == "draft"
    assert Event.objects.get(kind="connector.created").actor == owner.user.email


def test_a_key_that_is_taken_is_said_and_nothing_is_replaced(owner, stranger, draft):
    other = MANIFEST.replace('"Acme"', '"Other"')
    assert "You have a connector with the key “acme” already" in faults(make(owner, other))
    assert CustomConnector.objects.get().manifest == MANIFEST
    # Of one partner: it says nothing of what others have.
    assert make(stranger, other).status_code == 302


BAD = {
    "broken TOML": (f"version = 1.0 oops\n{MANIFEST}", "at line 1"),
    "an unknown key": (f'nonsence = "x"\n{MANIFEST}', "nonsence: no such key"),
    "a misspelt key": (MANIFEST.replace("summary", "sumary", 1), "did you mean summary?"),
    "a key twice": (f'version = "1.0"\n{MANIFEST}', "Cannot overwrite a value (at line 2"),
    "a table twice": (f"{MANIFEST}\n[verification]\n", "Cannot declare"),
    "a version that is none": (MANIFEST.replace('"1.0"', '"one"', 1), "version: "),
    "an address without TLS": (MANIFEST.replace("https://api", "http://api"), "base_url: "),
    "a placeholder of nothing": (MANIFEST.replace("${api_key}", "${api_kee}"), "api_kee"),
    "help that leads nowhere": (MANIFEST.replace("create-a-key", "elsewhere", 1), "elsewhere"),
    "an expression of templates": (MANIFEST.replace("/v1/me", "/v1/${settings.SECRET_KEY}"), "$"),
}


@pytest.mark.parametrize(("manifest", "words"), BAD.values(), ids=BAD)
def test_a_bad_manifest_is_refused_with_its_place_and_nothing_is_changed(owner, draft, manifest, words):
    library = dict(registry.all())
    assert words in faults(save(owner, manifest)).replace("&quot;", '"')
    assert words in faults(make(owner, manifest, key="other")).replace("&quot;", '"')
    page = owner.client.post("/connectors/check/", {"manifest": manifest, "guide": GUIDE}).content.decode()
    assert words in page
    assert "mistake" in page
    draft.refresh_from_db()
    assert (draft.manifest, CustomConnector.objects.count()) == (MANIFEST, 1)
    assert dict(registry.all()) == library
    # What was typed is there to be mended.
    assert 'version = "1.0' in owner.client.get(f"{HOME}definition/").content.decode().replace("&quot;", '"')


def test_a_guide_that_would_lose_a_part_is_refused_and_one_that_is_live_goes_on(owner, live):
    lost = GUIDE.replace("# Partner", "# Partners")
    assert "guide.md: # Partners opens no half" in faults(save(owner, MANIFEST, lost))
    page = owner.client.post("/connectors/check/", {"manifest": MANIFEST, "guide": lost}).content.decode()
    assert "guide.md: # Partners opens no half" in page
    live.refresh_from_db()
    assert live.guide == GUIDE
    # As one that was stored before this was looked at.
    Release.objects.update(guide=lost)
    assert Release.objects.get().connector_as_it_was().name == "Acme"


def test_the_check_while_typing_draws_what_the_customer_sees(owner):
    page = owner.client.post("/connectors/check/", {"manifest": MANIFEST, "guide": GUIDE}).content.decode()
    assert "No mistakes" in page
    assert "The key that you created in Acme." in page
    assert not CustomConnector.objects.exists()


SCRIPT = "<script>alert(1)</script>{{ settings.SECRET_KEY }}{% debug %}${client_secret}"


def test_scripts_and_templates_in_any_text_are_shown_as_they_are_written(owner, account):
    toml = json.dumps(SCRIPT)
    manifest = re.sub(
        r'^(name = )"Acme"$',
        lambda found: f'{found[1]}"{SCRIPT[:60]}"',
        MANIFEST,
        count=1,
        flags=re.MULTILINE,
    )
    for key in ("summary", "label", "description"):
        manifest = re.sub(
            rf"^{key} = .*$", lambda found, key=key: f"{key} = {toml}", manifest, flags=re.MULTILINE
        )
    manifest = manifest.replace('name = "api_key"', f'name = "api_key"\nplaceholder = {toml}\ngroup = {toml}')
    guide = GUIDE.replace(
        "1. Sign in", f"{SCRIPT} [click](javascript:alert(1)) <img src=x onerror=alert(1)>\n\n1. Sign in"
    )
    assert make(owner, manifest, guide).status_code == 302, faults(make(owner, manifest, guide))
    publish(owner, "1.0")
    row = Installation.objects.create(
        partner=owner.partner, account=account, connector="custom-acme", release=Release.objects.get()
    )
    browser, link, _ = open_link(row)
    pages = [
        owner.client.get(f"{HOME}{tab}")
        for tab in ("", "settings/", "guide/", "definition/", "releases/", "delete/")
    ]
    pages += [
        owner.client.get(path)
        for path in ("/connectors/library/", "/installations/add/", "/installations/", "/")
    ]
    pages += [owner.client.post("/connectors/check/", {"manifest": manifest, "guide": guide})]
    browser.post(f"/setup/{link.pk}/review/")
    pages += [browser.get(f"/setup/{link.pk}/{step}/") for step in ("review", "details")]
    for page in pages:
        text = page.content.decode()
        assert page.status_code == 200
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert 'href="javascript:' not in text
        assert "only-for-tests" not in text
    assert sum("alert(1)" in page.content.decode() for page in pages) > 6


LOGOS = {
    "a script": b"<script>alert(1)</script>",
    "a handler": b'<rect onload="alert(1)"/>',
    "an address of a script": b'<a href="javascript:alert(1)"><rect/></a>',
    "HTML inside": b'<foreignObject><body xmlns="http://www.w3.org/1999/xhtml"/></foreignObject>',
    "a script of HTML": b'<h:script xmlns:h="http://www.w3.org/1999/xhtml">alert(1)</h:script>',
    "a picture from elsewhere": b'<image href="https://evil.example/"/>',
    "a colour from elsewhere": b'<rect fill="url(https://evil.example/#a)"/>',
    "a style from elsewhere": b'<rect style="fill:u\\72l(https://evil.example/)"/>',
    "a style sheet": b"<style>@import 'https://evil.example/';</style>",
    "a use of another file": b'<use href="https://evil.example/#a"/>',
    "an animation": b'<animate attributeName="href" values="javascript:alert(1)"/>',
    "no end": b"<g>",
    "comments without end": b"<!--" * 20_000,
    "too much": b"<g/>" * 30_000,
}
DRAWN = {name: SVG.replace(b"<rect", inner + b"<rect") for name, inner in LOGOS.items()}
DRAWN |= {
    "an entity": b'<!DOCTYPE svg [<!ENTITY a "b">]>' + SVG,
    "a style sheet before it": b'<?xml-stylesheet href="https://evil.example/"?>' + SVG,
    "another format": b"\x89PNG\r\n",
    "a page": b"<html><script>alert(1)</script></html>",
}


@pytest.mark.parametrize("drawn", DRAWN.values(), ids=DRAWN)
def test_a_logo_that_is_more_than_a_drawing_is_refused(owner, draft, drawn):
    upload = SimpleUploadedFile("logo.svg", drawn, "image/svg+xml")
    assert "logo.svg: " in faults(save(owner, MANIFEST, logo=upload))
    draft.refresh_from_db()
    assert bytes(draft.logo) == b""


@pytest.mark.parametrize(
    "inner",
    [b'<rect fill="url(#a)"/>', b"<!-- drawn by hand -->", b'<g transform="scale(2)"><use href="#a"/></g>'],
)
def test_a_logo_that_is_a_drawing_is_taken(inner):
    assert logo.fault(b'<?xml version="1.0"?>\n' + SVG.replace(b"<rect", inner + b"<rect", 1)) == ""


def test_a_logo_is_shown_as_an_image_in_a_sandbox_and_a_drafts_to_its_partner_only(owner, stranger, draft):
    save(owner, MANIFEST, logo=SimpleUploadedFile("logo.svg", SVG, "image/svg+xml"))
    draft.refresh_from_db()
    url = draft.draft.logo_url
    shown = owner.client.get(url)
    assert shown.content == SVG
    assert shown["Content-Type"] == "image/svg+xml"
    assert shown["X-Content-Type-Options"] == "nosniff"
    assert shown["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert stranger.client.get(url).status_code == 404


def test_a_name_like_one_of_the_library_takes_nothing_of_that_one(owner, stranger, account):
    name = MANIFEST.replace('name = "Acme"', 'name = "Heartland Retail"', 1)
    assert make(owner, name, key="heartland-retail").status_code == 302
    library = registry.get("heartland-retail")
    page = owner.client.get("/connectors/library/?q=heartland").content.decode()
    assert "custom-heartland-retail" in page
    assert "Draft" in page
    assert owner.client.get(library.logo_url).content == library.files.logo
    assert owner.client.get("/connectors/library/heartland-retail/definition/").status_code == 404
    assert (
        "custom-heartland-retail"
        not in stranger.client.get("/connectors/library/?q=heartland").content.decode()
    )


@pytest.mark.parametrize("field", ["manifest", "guide"])
def test_fifty_megabytes_are_refused_on_every_page(owner, draft, field):
    texts = {"manifest": MANIFEST, "guide": GUIDE, field: "#" * 50_000_000}
    for path in (f"{HOME}definition/", "/connectors/add/manifest/", "/connectors/check/"):
        assert owner.client.post(path, texts).status_code == 400
    for path, name in (("openapi", "file"), ("folder", "archive")):
        upload = SimpleUploadedFile("x", b"#" * 50_000_000)
        said = faults(owner.client.post(f"/connectors/add/{path}/", {name: upload, "category": "commerce"}))
        assert "is too large: at most" in said
    upload = SimpleUploadedFile("logo.svg", b"#" * 50_000_000)
    assert "is too large: a logo has at most" in faults(save(owner, MANIFEST, logo=upload))
    assert CustomConnector.objects.count() == 1


# ── a folder goes out and comes back ──


def contents(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def packed(*members: tuple[str, bytes | str], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return stream.getvalue()


def import_folder(person, data: bytes, **form):
    upload = SimpleUploadedFile("folder.zip", data, "application/zip")
    return person.client.post("/connectors/add/folder/", {"archive": upload, **form})


@pytest.mark.parametrize("slug", ["heartland-retail", "github", "salesforce"])
def test_a_connector_that_is_exported_and_imported_is_the_same_byte_by_byte(owner, stranger, slug, settings):
    exported = owner.client.get(f"/connectors/library/{slug}/export/").content
    assert import_folder(stranger, exported).status_code == 302
    row = CustomConnector.objects.get(slug=f"custom-{slug}")
    source = settings.CONNECTOR_LIBRARIES[0] / slug
    assert row.manifest.encode() == (source / "manifest.toml").read_bytes()
    assert row.guide.encode() == (source / "guide.md").read_bytes()
    drawn = source / "logo.svg"
    assert bytes(row.logo) == (drawn.read_bytes() if drawn.exists() else b"")
    kept = {path.name: path.read_bytes() for path in (source / "samples").iterdir()}
    assert {name: text.encode() for name, text in row.samples.items()} == kept != {}
    assert stranger.client.get(f"/connectors/library/custom-{slug}/export/").content == exported


def test_an_exported_folder_can_be_unpacked_and_put_into_a_library(owner, draft, tmp_path):
    save(owner, MANIFEST, logo=SimpleUploadedFile("logo.svg", SVG, "image/svg+xml"))
    (tmp_path / "acme.zip").write_bytes(owner.client.get(f"{HOME}export/").content)
    if unzip := shutil.which("unzip"):
        subprocess.run([unzip, "-q", "acme.zip"], cwd=tmp_path, check=True)
    else:
        shutil.unpack_archive(tmp_path / "acme.zip", tmp_path)
    files = sorted((tmp_path / "acme").iterdir())
    assert [path.name for path in files] == ["guide.md", "logo.svg", "manifest.toml"]
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o600 == 0o600 for path in files)
    assert registry.read(tmp_path / "acme").files == (MANIFEST, GUIDE, SVG)


def validated(folder, capsys) -> str:
    call_command("connectors", "validate", str(folder))
    return capsys.readouterr().out


LACKING = {
    "airtable": "lookup-base_id.json, personal_access_token.http or verification.http",
    "google-calendar": "service_account-token.http or token.http, assertion.json",
    "heartland-retail": "discovery.json, api_key.http or verification.http",
    "stripe": "received.http, received.json",
    "postgresql": "",
}


@pytest.mark.parametrize(("slug", "lacking"), LACKING.items(), ids=LACKING)
def test_an_exported_folder_has_what_the_library_needs_and_what_it_lacks_is_said(
    owner, slug, lacking, tmp_path, capsys
):
    (tmp_path / "x.zip").write_bytes(owner.client.get(f"/connectors/library/{slug}/export/").content)
    shutil.unpack_archive(tmp_path / "x.zip", tmp_path)
    assert "lacks" not in validated(tmp_path / slug, capsys)
    shutil.rmtree(tmp_path / slug / "samples", ignore_errors=True)
    said = validated(tmp_path / slug, capsys)
    assert all(file in said for file in lacking.split(", "))
    assert ("lacks" in said) == bool(lacking)


def test_a_folder_without_samples_is_good_and_what_the_library_needs_is_said(owner, draft, tmp_path, capsys):
    (tmp_path / "x.zip").write_bytes(owner.client.get(f"{HOME}export/").content)
    shutil.unpack_archive(tmp_path / "x.zip", tmp_path)
    said = validated(tmp_path / "acme", capsys)
    assert "1 connector is good." in said
    assert "samples/api_key.http or verification.http" in said


def test_nothing_but_a_partners_own_is_exported(owner, stranger, draft):
    assert stranger.client.get(f"{HOME}export/").status_code == 404


GOOD = [("acme/manifest.toml", MANIFEST), ("acme/guide.md", GUIDE)]


def link_to(target: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        member = zipfile.ZipInfo("acme/manifest.toml")
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(member, target)
        archive.writestr("acme/guide.md", GUIDE)
    return stream.getvalue()


ARCHIVES = {
    "no archive": (b"PK\x03\x04 hello", "no ZIP archive"),
    "half an archive": (packed(*GOOD)[:-30], "no ZIP archive"),
    "no manifest": (packed(("acme/guide.md", GUIDE)), "holds no manifest.toml"),
    "no guide": (packed(GOOD[0]), "holds no guide.md"),
    "two connectors": (packed(*GOOD, ("other/manifest.toml", MANIFEST)), "more than one manifest.toml"),
    "a bomb": (packed(("acme/manifest.toml", b" " * 50_000_000), GOOD[1]), "more than 262,144 bytes"),
    "a bomb beside it": (packed(*GOOD, ("acme/logo.svg", b" " * 50_000_000)), "more than 102,400 bytes"),
    "files without end": (packed(*((f"{n}", "") for n in range(1500))), "1,500 files"),
    "another way of packing": (packed(*GOOD, method=zipfile.ZIP_LZMA), "packed in an unusual way"),
    "a link": (link_to("/etc/passwd"), "is a link to another file"),
    "a script as logo": (
        packed(*GOOD, ("acme/logo.svg", DRAWN["a script"])),
        "logo.svg: has the element script",
    ),
    "a guide of another encoding": (
        packed(GOOD[0], ("acme/guide.md", b"\xff")),
        "guide.md: byte 0 is not UTF-8",
    ),
    "a sample that is no text": (
        packed(*GOOD, ("acme/samples/token.json", b"\xff")),
        "samples/token.json: byte 0 is not UTF-8",
    ),
    "a sample that no database takes": (
        packed(*GOOD, ("acme/samples/token.json", b"\0")),
        "samples/token.json has a character that no text has",
    ),
    "a sample without end": (
        packed(*GOOD, ("acme/samples/token.json", b" " * 50_000_000)),
        "samples/token.json has more than 65,536 bytes",
    ),
    "samples without end": (
        packed(*GOOD, *((f"acme/samples/{number}.json", "{}") for number in range(101))),
        "101 samples",
    ),
    "a manifest that is wrong": (packed(("acme/manifest.toml", "x = 1"), GOOD[1]), "x: no such key"),
}


@pytest.mark.parametrize(("data", "words"), ARCHIVES.values(), ids=ARCHIVES)
def test_a_bad_archive_is_refused_and_nothing_of_it_is_kept(owner, data, words):
    assert words in faults(import_folder(owner, data))
    assert not CustomConnector.objects.exists()


def test_names_in_an_archive_lead_nowhere(owner, tmp_path, settings):
    evil = [("../../../../tmp/../acme/manifest.toml", MANIFEST), ("../../../../tmp/../acme/guide.md", GUIDE)]
    evil.append(("../../../../tmp/../acme/samples/../../x.json", "{}"))
    before = sorted(settings.BASE_DIR.parent.iterdir())
    assert import_folder(owner, packed(*evil, ("/etc/cron.d/x", "x"))).status_code == 302
    row = CustomConnector.objects.get()
    assert (row.slug, row.samples) == ("custom-acme", {})
    assert sorted(settings.BASE_DIR.parent.iterdir()) == before


def test_no_damage_to_an_archive_is_more_than_a_sentence():
    good = packed(*GOOD)
    for place in range(len(good)):
        for bit in (1, 128):
            damaged = bytearray(good)
            damaged[place] ^= bit
            what_becomes_of(bytes(damaged))


def what_becomes_of(data: bytes) -> str:
    try:
        return folder.unpack(data)[0]
    except BadDocument as error:
        return str(error)


# ── tried out, released, upgraded ──


def test_a_draft_is_tried_out_before_it_is_released(owner, stranger, draft, acme):
    page = owner.client.get(f"{HOME}releases/").content.decode()
    assert "Nobody has tried this draft out" in page
    assert stranger.client.post(f"{HOME}try/").status_code == 404
    base = owner.client.post(f"{HOME}try/", follow=True).redirect_chain[0][0]
    assert "does not accept this" in connect(owner.client, base, "wrong-key")
    assert "Anvils of Harbor Street" in connect(owner.client, base)
    assert acme.requests[-1].headers["authorization"] == "Bearer good-key"
    row = Installation.objects.get()
    assert (row.is_tryout, row.status, row.account.name) == (True, Status.CONNECTED, "Try-outs")
    assert "It was connected in a try-out" in owner.client.get(f"{HOME}releases/").content.decode()
    assert stranger.client.get(f"/installations/{row.pk}/").status_code == 404
    # A draft that has changed since is another one.
    save(owner, MANIFEST.replace("/v1/me", "/v1/us"))
    assert "Nobody has tried this draft out" in owner.client.get(f"{HOME}releases/").content.decode()


def test_a_draft_cannot_be_installed_for_a_customer(owner, account, draft):
    url = f"/installations/add/?account={account.pk}"
    assert "custom-acme" not in owner.client.get(url).content.decode()
    page = owner.client.post(f"{url}&connector=custom-acme", {"name": "Acme"}).content.decode()
    assert "Which application?" in page
    assert not Installation.objects.exists()


@pytest.mark.parametrize(
    "target", ["https://127.0.0.1/me", "https://169.254.169.254/me", "https://localhost:5432/"]
)
def test_a_connector_of_ones_own_reaches_nothing_within_the_network(owner, draft, target, monkeypatch):
    save(owner, MANIFEST.replace("https://api.acme.example/v1/me", target))
    connected = []
    monkeypatch.setattr("console.http.socket.create_connection", lambda *a, **k: connected.append(a))
    base = owner.client.post(f"{HOME}try/", follow=True).redirect_chain[0][0]
    connect(owner.client, base)
    assert connected == []
    assert not CredentialVersion.objects.exists()


@pytest.fixture
def installed(owner, account, live, acme) -> Installation:
    """Connected by a customer with the first release."""
    row = Installation.objects.create(
        partner=owner.partner, account=account, connector="custom-acme", release=live.live
    )
    browser, link, _ = open_link(row)
    assert "Anvils of Harbor Street" in connect(browser, f"/setup/{link.pk}/")
    row.refresh_from_db()
    return row


def test_a_draft_that_is_worked_on_reaches_no_customer(owner, installed, acme):
    save(owner, MINOR)
    other = Account.objects.create(partner=owner.partner, name="Second", external_id="2")
    row = Installation.objects.create(partner=owner.partner, account=other, connector="custom-acme")
    browser, link, _ = open_link(row)
    assert "Anvils of Harbor Street" in connect(browser, f"/setup/{link.pk}/")
    assert acme.requests[-1].target == "/v1/me"
    row.refresh_from_db()
    assert row.release == installed.release


MINOR = MANIFEST.replace("/v1/me", "/v1/us")
MAJOR = (
    MINOR
    + '\n[[properties]]\nname = "store"\nlabel = "Store"\ndescription = "Which one."\nlevel = "account"\n'
)


def test_an_installation_keeps_its_release_until_it_is_upgraded(owner, installed, acme):
    save(owner, MINOR)
    url = f"/installations/{installed.pk}/"
    assert Installation.objects.get().definition.manifest.version == "1.0"
    page = owner.client.get(f"{HOME}releases/").content.decode()
    assert "The call that verifies a credential was changed" in page
    assert 'value="1.1"' in page
    publish(owner, "1.1")
    owner.client.post(f"{url}test/")
    assert acme.requests[-1].target == "/v1/me"
    owner.client.post(f"{url}upgrade/")
    owner.client.post(f"{url}test/")
    assert acme.requests[-1].target == "/v1/us"
    assert Installation.objects.get().definition.manifest.version == "1.1"
    assert Publication.objects.count() == 2


def test_a_change_that_asks_something_of_customers_is_a_major_one(owner, installed):
    save(owner, MAJOR)
    page = owner.client.get(f"{HOME}releases/").content.decode()
    assert "“Store” is new." in page
    assert 'value="2.0"' in page
    assert "it needs 2.0 or higher" in publish(owner, "1.1")
    assert Publication.objects.count() == 1
    assert "Version 2.0 is live" in publish(owner, "2.0")
    page = owner.client.post(f"/installations/{installed.pk}/upgrade/", follow=True).content.decode()
    assert "asks for something that is not there yet" in page
    assert Installation.objects.get().definition.manifest.version == "1.0"


def test_all_installations_are_upgraded_with_one_click(owner, installed):
    other = Account.objects.create(partner=owner.partner, name="Second", external_id="2")
    Installation.objects.create(
        partner=owner.partner, account=other, connector="custom-acme", release=installed.release
    )
    save(owner, MINOR)
    publish(owner, "1.1")
    owner.client.post("/installations/upgrade/custom-acme/")
    work()
    assert {row.definition.manifest.version for row in Installation.objects.all()} == {"1.1"}


@pytest.mark.parametrize("version", ["", "1", "1.0.0", "one", "1.0", "0.9", "99999.0", '1.1"\nname = "x'])
def test_a_version_that_is_none_or_too_low_is_refused(owner, live, version):
    save(owner, MINOR)
    publish(owner, version)
    assert Publication.objects.count() == 1


def test_the_same_is_not_published_twice(owner, live):
    assert "is what is live already" in publish(owner, "1.1")
    assert Publication.objects.count() == 1


def test_a_connector_that_is_no_longer_offered_goes_on_where_it_is_installed(owner, account, installed, acme):
    owner.client.post(f"{HOME}deprecate/", {"then": "deprecate"})
    assert "No longer offered" in owner.client.get(HOME).content.decode()
    assert "Acme" not in owner.client.get(f"/installations/add/?account={account.pk}").content.decode()
    assert (
        "It works" in owner.client.post(f"/installations/{installed.pk}/test/", follow=True).content.decode()
    )
    owner.client.post(f"{HOME}deprecate/", {"then": "restore"})
    assert CustomConnector.objects.get().state == "live"


def test_a_discarded_draft_is_what_is_live(owner, live):
    save(owner, MINOR)
    page = owner.client.get(f"{HOME}discard/").content.decode()
    assert "The call that verifies a credential was changed" in page
    assert CustomConnector.objects.get().state == "changed"
    owner.client.post(f"{HOME}discard/")
    assert (CustomConnector.objects.get().state, CustomConnector.objects.get().manifest) == ("live", MANIFEST)


def test_what_a_customer_has_installed_cannot_be_deleted(owner, installed):
    assert "cannot be deleted" in owner.client.post(f"{HOME}delete/").content.decode()
    assert CustomConnector.objects.exists()
    installed.remove()
    assert "Export the folder" in owner.client.get(f"{HOME}delete/").content.decode()
    assert owner.client.post(f"{HOME}delete/").headers["Location"] == "/connectors/library/"
    assert not CustomConnector.objects.exists()
    assert not ConnectorSettings.objects.filter(connector="custom-acme").exists()


def test_a_stranger_changes_nothing_of_it(owner, stranger, live):
    before = CustomConnector.objects.values().get()
    for path in ("definition", "discard", "publish", "deprecate", "delete", "try"):
        form = {"manifest": MINOR, "guide": GUIDE, "version": "1.1", "then": "deprecate"}
        assert stranger.client.post(f"{HOME}{path}/", form).status_code == 404
    assert CustomConnector.objects.values().get() == before


def test_a_draft_that_a_later_product_does_not_read_keeps_no_page_from_its_partner(owner, live):
    """Its texts were good when they were stored, and the format has become stricter since."""
    for table in (CustomConnector, Release):
        table.objects.update(manifest=MANIFEST.replace("[verification]", "[verifikation]"))
    registry.made.cache_clear()
    for path in ("/connectors/library/", "/", "/installations/add/", "/installations/", f"{HOME}definition/"):
        assert owner.client.get(path).status_code == 200, path
    page = owner.client.get(f"{HOME}definition/").content.decode()
    assert "verifikation: no such key" in page
    assert save(owner, MANIFEST).status_code == 302
    assert owner.client.get(HOME).status_code == 200
