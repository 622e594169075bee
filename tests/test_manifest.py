"""A connector's manifest: what is refused, in words that name file and field, and the shipped library."""

import re
import time
from pathlib import Path
from string import Template

import pytest
from django.conf import settings as django_settings

from connectors import manifest, registry
from connectors.guide import Guide
from connectors.manifest import BadManifest, Manifest

GOOD = """
version = "1.0"
name = "Acme"
summary = "Sells anvils."
website = "https://acme.example/"
categories = ["commerce"]
source = ["https://dev.acme.example/"]
base_url = "https://${host}/api"

[[auth_methods]]
type = "api_key"
label = "API Key"
summary = "You paste a key."
help_anchors = ["make-a-key"]

[[auth_methods]]
type = "authorization_code"
label = "OAuth"
summary = "You sign in there."
authorization_endpoint = "https://acme.example/authorize"
token_endpoint = "https://acme.example/token"

[[properties]]
name = "client_id"
label = "Client ID"
description = "Who you are there."
level = "partner_else_account"
auth_methods = ["authorization_code"]
secret = false

[[properties]]
name = "client_secret"
label = "Client Secret"
description = "What proves it there."
level = "partner_else_account"
auth_methods = ["authorization_code"]

[[properties]]
name = "subdomain"
label = "Subdomain"
description = "Where you are there."
level = "account"
auth_methods = ["api_key", "authorization_code"]
secret = false
fallback = true
pattern = '[a-z]+'
pattern_message = "Letters only."
help_anchors = ["find-your-subdomain"]

[discovery]
url = "https://acme.example/where"
key = "host"
property = "host"
pattern = '[a-z]+\\.acme\\.example'
fallback_template = "${subdomain}.acme.example"

[verification]
url = "https://${host}/me"
account_id = "${host}"
account_name_url = "https://${subdomain}.acme.example/name"
"""
GUIDE = """
# Partner

## Register

Text.

# Customer

## Make a key

Text.

## Find your subdomain

Text.
"""


def write(library: Path, text: str = GOOD, *, slug: str = "acme", guide: str | None = GUIDE) -> Path:
    folder = library / slug
    folder.mkdir()
    (folder / "manifest.toml").write_text(text)
    (folder / "logo.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    if guide is not None:
        (folder / "guide.md").write_text(guide)
    return folder


@pytest.fixture
def library(tmp_path, settings):
    """An empty library of its own, read anew before and after."""
    settings.CONNECTOR_LIBRARIES = [tmp_path]
    registry.all.cache_clear()
    yield tmp_path
    registry.all.cache_clear()


def test_the_good_one_is_good(library):
    write(library)
    (found,) = registry.all().values()
    assert (found.slug, found.name) == ("acme", "Acme")
    assert registry.get("acme") is found
    assert registry.get("other") is None


def test_what_a_manifest_leaves_out_is_the_careful_choice(tmp_path):
    found = manifest.load(write(tmp_path, GOOD.replace("secret = false\n", "", 1)))
    method, prop = found.method("authorization_code"), found.property_named("client_id")
    assert (prop.secret, prop.required, prop.fallback) == (True, True, False)
    assert (method.token_endpoint_auth_method, method.token_request_method) == ("client_secret_basic", "POST")
    assert method.inject.headers == {"Authorization": "Bearer ${access_token}"}
    assert method.no_pkce == ""
    assert method.send_response_type


PATTERN = "pattern = '[a-z]+'\npattern_message = \"Letters only.\"\n"
ENDPOINT = 'token_endpoint = "https://acme.example/token"\n'
API_KEY = GOOD[GOOD.index("[[auth_methods]]") : GOOD.index('[[auth_methods]]\ntype = "auth')]
OAUTH = GOOD[GOOD.index('[[auth_methods]]\ntype = "auth') : GOOD.index("[[properties]]")]
METHODS = GOOD[GOOD.index("[[auth_methods]]") : GOOD.index("[discovery]")]
FALLBACK = '${you}.acme.example"\n\n'
TOKEN_ENDPOINT = "auth_methods.1.token_endpoint"
CONSENT = "auth_methods.1.authorization_endpoint"
TOKEN_RESPONSE = "auth_methods.1.token_response"
LIFETIME = 'token_response = { default_expires_in = "3600" }\n'
ONE_TABLE = '[auth_methods]\ntype = "api_key"\n\n'
PROOF = 'verification = { uri = "https://acme.example/me" }\n'
# What is changed in the good one, the field that is named, and words of what is wrong with it.
BAD = {
    "broken TOML": ("name = ", "name = = ", "", "line 3"),
    "TOML that ends too soon": ('"https://${host}/me"', '"https://', "", "line 58"),
    "the same table twice": ("[verification]", "[discovery]", "", "discovery"),
    "a name of its own": ('name = "Acme"', 'name = "Acme"\nslug = "other"', "", "slug"),
    "an unknown key": ('name = "Acme"', 'name = "Acme"\ncolour = "red"', "colour", "no such key"),
    "an unknown key of a method": ('label = "OAuth"', 'lable = "x"', "auth_methods.1.lable", "no such key"),
    "an unknown key of a property": ("fallback = true", "back = true", "properties.2.back", "no such key"),
    "an unknown key of discovery": ('key = "host"', 'keys = "host"', "discovery.keys", "no such key"),
    "an unknown key of verification": ("account_id =", "account =", "verification.account", "no such key"),
    "no name": ('name = "Acme"\n', "", "name", "is missing"),
    "an empty name": ('name = "Acme"', 'name = " "', "name", "at least 1"),
    "no source": ('source = ["https://dev.acme.example/"]\n', "", "source", "is missing"),
    "no label": ('label = "OAuth"\n', "", "auth_methods.1.label", "is missing"),
    "no verification": (GOOD[GOOD.index("[verification]") :], "", "verification", "is missing"),
    "a number for a name": ('name = "Acme"', "name = 7", "name", "a text in quotes"),
    "an unknown method": ('type = "api_key"', 'type = "saml"', "auth_methods.0.type", "authorization_code"),
    "an unknown level": ('level = "account"', 'level = "user"', "properties.2.level", "partner_else_account"),
    "no token_endpoint": (ENDPOINT, "", "auth_methods.1.token_endpoint", "is missing"),
    "no authorization_endpoint": ("authorization_endpoint =", "issuer =", CONSENT, "is missing"),
    "an endpoint without https": ("https://acme.example/token", "http://a/", TOKEN_ENDPOINT, "https"),
    "an endpoint with a user": (
        "https://acme.example/token",
        "https://a@b/",
        TOKEN_ENDPOINT,
        "an address such as",
    ),
    "an endpoint with a query": (
        "https://acme.example/token",
        "https://a/?b=c",
        TOKEN_ENDPOINT,
        "without a query",
    ),
    "an endpoint with a line break": ("acme.example/token", "acme.example/\\n", TOKEN_ENDPOINT, "an address"),
    "no method at all": (METHODS, "auth_methods = []\n", "auth_methods", "at least 1"),
    "a method twice": (API_KEY, OAUTH, "auth_methods.1.key", "'authorization_code' stands here twice"),
    "a property twice": (
        '"subdomain"\n',
        '"client_id"\n',
        "properties.2.name",
        "'client_id' stands here twice",
    ),
    "a property of a method that is not here": (
        API_KEY,
        "",
        "properties.2.auth_methods",
        "'api_key' is the key of no auth",
    ),
    "a bad name of a property": ('"client_id"', '"Client-ID"', "properties.0.name", "small letters"),
    "a host without a pattern": (PATTERN, "", "properties.2", "'subdomain' reaches a host name: it needs"),
    "a host that is no property": ("${host}/me", "${hots}/me", "verification", "did you mean host?"),
    "a path that is no property": (
        "${host}/me",
        "${host}/${you}",
        "verification",
        "/${you} is not a property",
    ),
    "an account that is no property": (
        '"${host}"',
        '"${nobody}"',
        "verification",
        "${nobody} in ${nobody} is",
    ),
    "a fallback that is no property": ('${subdomain}.acme.example"\n\n', FALLBACK, "discovery", "${you} in"),
    "a code before there is one": (
        ENDPOINT,
        ENDPOINT + 'authorization_params = { extra = "${redirect_uri}" }\n',
        "auth_methods.1",
        "can name properties, and not ${redirect_uri}",
    ),
    "a code in a header": (
        ENDPOINT,
        ENDPOINT + 'token_headers = { X-Code = "${code}" }\n',
        "auth_methods.1",
        "can name properties, and not ${code}",
    ),
    "half a placeholder": ("${host}/me", "${host/me", "verification.url", "begins no placeholder"),
    "a pattern that is none": ("'[a-z]+'", "'[a-z+'", "properties.2.pattern", "regular expression"),
    "a pattern of discovery that is none": ("[a-z]+\\.", "[a-z+\\.", "discovery.pattern", "regular"),
    "a word for a yes or no": (
        "fallback = true",
        'fallback = "yes"',
        "properties.2.fallback",
        "true or false",
    ),
    "a number in quotes": (
        ENDPOINT,
        ENDPOINT + LIFETIME,
        f"{TOKEN_RESPONSE}.default_expires_in",
        "whole number",
    ),
    "a word for a list": ('["commerce"]', '"commerce"', "categories", "a list, in square brackets"),
    "a table for a list": (METHODS, ONE_TABLE, "auth_methods", "each entry begins with [[auth_methods]]"),
    "a misspelt method": (
        '"authorization_code"\nl',
        '"authorisation_code"\nl',
        "auth_methods.1.type",
        "'authorization_code'?",
    ),
    "a key of another method": (
        '"api_key"\n',
        '"api_key"\n' + ENDPOINT,
        "auth_methods.0.token_endpoint",
        "api_key has none",
    ),
    "a misspelt key of a method's own proof": (
        '"api_key"\n',
        '"api_key"\n' + PROOF,
        "auth_methods.0.verification.uri",
        "mean url?",
    ),
    "an address that may be blank": ('"https://${host}/api"', '"http://x"', "base_url", "an address such as"),
    "a condition that names nobody": (
        "fallback = true",
        'visible_if = { client = ["x"] }',
        "properties.2.visible_if.client",
        "mean client_id?",
    ),
    "a version that is a number": (
        'version = "1.0"',
        'version = "1"',
        "version",
        "two numbers with a dot between",
    ),
    "a pattern that says nothing": ('pattern_message = "Letters only."\n', "", "properties.2", "_message"),
}


@pytest.mark.parametrize(("old", "new", "field", "words"), BAD.values(), ids=BAD)
def test_a_bad_manifest_is_refused_with_its_file_and_its_field(old, new, field, words, tmp_path):
    assert GOOD.count(old) >= 1
    folder = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(BadManifest) as refused:
        manifest.load(folder)
    lines = str(refused.value).splitlines()
    assert all(line.startswith(f"{folder / 'manifest.toml'}: ") for line in lines)
    named = f": {field}: " if field else ": "
    assert any(named in line and words in line for line in lines), str(refused.value)


def test_every_mistake_is_named_at_once(tmp_path):
    folder = write(tmp_path, GOOD.replace('name = "Acme"', "nmae = 7").replace('label = "OAuth"', ""))
    with pytest.raises(BadManifest) as refused:
        manifest.load(folder)
    assert {line.split(": ")[1] for line in str(refused.value).splitlines()} == {
        "name",
        "nmae",
        "auth_methods.1.label",
    }


def test_a_file_that_is_no_text_is_refused(tmp_path):
    folder = write(tmp_path)
    (folder / "manifest.toml").write_bytes(b"name = '\xff'")
    with pytest.raises(BadManifest, match=r"manifest\.toml: .*UTF-8"):
        manifest.load(folder)


def test_a_folder_without_a_manifest_is_refused(tmp_path):
    (tmp_path / "acme").mkdir()
    with pytest.raises(BadManifest, match=r"acme/manifest\.toml"):
        manifest.load(tmp_path / "acme")


@pytest.mark.parametrize("slug", ["Acme", "acme_shop", "-acme", "acme-", "a b", "ácme"])
def test_a_folder_whose_name_is_no_slug_is_refused(slug, tmp_path):
    with pytest.raises(BadManifest, match=r"slug: .* is not allowed; allowed: small letters"):
        manifest.load(write(tmp_path, slug=slug))


# ── the library ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("anchor", ["make-a-key", "find-your-subdomain"])
def test_help_that_leads_nowhere_is_refused(anchor, library):
    write(library, GOOD.replace(f'"{anchor}"', '"nowhere"'))
    with pytest.raises(BadManifest) as refused:
        registry.all()
    for words in ("acme/manifest.toml", ".help_anchors", "'nowhere'", "guide.md", "register", "make-a-key"):
        assert words in str(refused.value)


def test_a_connector_without_its_guide_is_refused(library):
    (write(library) / "guide.md").unlink()
    with pytest.raises(BadManifest, match=re.escape("acme/guide.md")):
        registry.all()


LOST = {
    "a half for nobody": (("# Customer", "# Customers"), "# Customers opens no half"),
    "text before the halves": (("# Partner", "Welcome.\n\n# Partner"), "before # Partner is shown to nobody"),
    "text before a half's first section": (
        ("# Customer\n", "# Customer\n\nWelcome.\n"),
        "between # Customer and the first ## below it is shown to nobody",
    ),
    "one heading in both halves": (("## Register", "## Make a key"), "## Make a key stands here twice"),
}


@pytest.mark.parametrize(("change", "words"), LOST.values(), ids=LOST)
def test_a_guide_of_which_a_part_would_be_shown_to_nobody_is_refused(change, words, library):
    text = GOOD.replace('help_anchors = ["register"]', "")
    folder = write(library, text, guide=GUIDE.replace(*change, 1))
    with pytest.raises(BadManifest) as refused:
        registry.all()
    assert str(refused.value).startswith(f"{folder}/guide.md: ")
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


FENCED = """
# Partner

## Register

```sh
# as root
## twice
```

~~~
```
# still between fences
~~~

```not a fence``` in a line.

# Customer

## 鍵を作る

Text.
"""


def test_what_stands_between_fences_opens_no_section():
    found = Guide(FENCED)
    assert found.faults == []
    assert {section.anchor: section.audience for section in found.sections.values()} == {
        "register": "partner",
        "鍵を作る": "customer",
    }
    assert "# as root\n## twice" in found.sections["register"].render()
    assert "# still between fences" in found.sections["register"].render()


def test_a_fault_of_a_logo_names_its_folder(library):
    folder = write(library)
    (folder / "logo.svg").write_text("<svg/>")
    with pytest.raises(BadManifest, match=re.escape(f"{folder}/logo.svg: is no SVG")):
        registry.all()


def test_a_connector_without_a_logo_has_its_initials(library):
    (write(library) / "logo.svg").unlink()
    assert b">AC</text>" in registry.get("acme").files.logo


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("sumary = 'x'", "did you mean summary?"),
        ("alias = ['x']", "did you mean aliases?"),
        ("nothing_like_it = 1", "known keys: aliases, auth_methods"),
    ],
)
def test_a_misspelt_key_is_told_the_nearest_right_one(wrong, right, tmp_path):
    with pytest.raises(BadManifest, match=re.escape(right)):
        manifest.load(write(tmp_path, wrong + "\n" + GOOD))


def test_a_wrong_word_is_told_what_is_allowed(tmp_path):
    with pytest.raises(BadManifest) as refused:
        manifest.load(write(tmp_path, GOOD.replace('"partner_else_account"', '"partner_else_acount"', 1)))
    said = str(refused.value)
    assert "properties.0.level: 'partner_else_acount' is not allowed" in said
    assert "did you mean 'partner_else_account'?" in said


def test_what_follows_from_a_mistake_is_not_told_as_another(tmp_path):
    with pytest.raises(BadManifest) as refused:
        manifest.load(write(tmp_path, GOOD.replace('["commerce"]', '["comerce"]')))
    (line,) = str(refused.value).splitlines()
    assert "categories.0: 'comerce' is not allowed; did you mean 'commerce'?" in line


def test_fifty_megabytes_are_no_manifest(tmp_path):
    folder = write(tmp_path)
    (folder / "manifest.toml").write_bytes(b"#" * 50_000_000)
    with pytest.raises(BadManifest, match="50,000,000 bytes; a manifest has at most"):
        manifest.load(folder)


def test_tables_without_end_are_refused(tmp_path):
    deep = "x = " + "[" * 20_000 + "]" * 20_000
    with pytest.raises(BadManifest):
        manifest.load(write(tmp_path, deep))


# What would take minutes or all of the memory, and what Python itself stumbles over.
HARMFUL = {
    "a dotted key without end": "a" + ".a" * 100_000 + " = 1",
    "a dotted key in place of a value": "version" + ".a" * 100_000 + " = 1",
    "a list in lists": f"version = {'[' * 900}{']' * 900}",
    "a number of 5,000 digits": "version = " + "1" * 5000,
    "a hexadecimal number of 5,000 digits": "version = 0x" + "f" * 5000,
    "20,000 unknown keys": "".join(f"k{number} = 1\n" for number in range(20_000)),
    "a pattern that is written out": GOOD.replace("'[a-z]+'", "'((a{1000}){1000}){1000}'"),
    "a pattern with blanks in its counts": GOOD.replace("'[a-z]+'", "'(?ix)((a{1 000}){1 000}){1 000}'"),
    "a pattern with endless digits": GOOD.replace("'[a-z]+'", f"'a{{{'9' * 400}}}'"),
    "half a character": GOOD + "# \ud800",
    "a name with NUL": GOOD.replace('"Acme"', '"Acme\\u0000"'),
    "a name that is turned round": GOOD.replace('"Acme"', '"Acme\\u202e"'),
    "a name of two lines": GOOD.replace('"Acme"', '"Acme\\nShop"'),
    "a half of an address": GOOD.replace("https://${host}/api", "https://[${host}"),
}


@pytest.mark.parametrize("text", HARMFUL.values(), ids=HARMFUL)
def test_what_harms_whoever_reads_it_is_refused_in_few_words(text):
    started = time.process_time()
    with pytest.raises(BadManifest) as refused:
        manifest.parse(text, slug="acme")
    assert time.process_time() - started < 1
    assert len(str(refused.value)) < 6000
    assert "maximum recursion" not in str(refused.value)
    assert "int_max_str_digits" not in str(refused.value)


def test_a_pattern_of_ordinary_counts_is_none_of_those():
    text = GOOD.replace("'[a-z]+'", "'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}'")
    assert manifest.parse(text, slug="acme").property_named("subdomain").fault("x")


def test_the_schema_knows_every_key():
    schema = manifest.json_schema()
    assert schema["additionalProperties"] is False
    assert {"version", "auth_methods", "verification"} <= set(schema["required"])
    assert "slug" not in schema["properties"]
    ways = schema["properties"]["auth_methods"]["items"]["discriminator"]["mapping"]
    assert set(ways) == {
        "none",
        "api_key",
        "http_basic",
        "oauth1",
        "oauth1_redirection",
        "aws_signature",
        "authorization_code",
        "client_credentials",
        "password",
        "pasted_grant",
        "jwt_bearer",
    }


def test_a_library_that_is_not_there_is_refused(library, settings):
    settings.CONNECTOR_LIBRARIES = [library / "nowhere"]
    with pytest.raises(BadManifest, match="nowhere"):
        registry.all()


def test_a_later_library_replaces_a_connector_of_an_earlier_one(library, settings):
    (library / "first").mkdir()
    (library / "second").mkdir()
    write(library / "first")
    write(library / "first", slug="other")
    write(library / "second", GOOD.replace('"Acme"', '"Acme, our own"'))
    settings.CONNECTOR_LIBRARIES = [library / "first", library / "second"]
    assert {slug: found.name for slug, found in registry.all().items()} == {
        "acme": "Acme, our own",
        "other": "Acme",
    }


def test_files_beside_the_folders_do_not_matter(library):
    write(library)
    (library / "README.md").write_text("Not a connector.")
    assert list(registry.all()) == ["acme"]


LIBRARY = django_settings.BASE_DIR / "connectors" / "library"
SHIPPED = sorted(folder.name for folder in LIBRARY.iterdir() if folder.is_dir())


def test_the_shipped_library_loads():
    registry.all.cache_clear()
    assert set(SHIPPED) <= set(registry.all())
    assert "heartland-retail" in SHIPPED


@pytest.mark.parametrize("slug", SHIPPED)
def test_a_shipped_connector_is_complete(slug):
    found = registry.get(slug)
    assert isinstance(found.manifest, Manifest)
    assert found.files.logo.startswith(b"<svg")
    assert b"<script" not in found.files.logo
    guide = Guide((LIBRARY / slug / "guide.md").read_text("utf-8"))
    assert {section.audience for section in guide.sections.values()} == {"partner", "customer"}
    assert found.manifest.source
    # A secret is never part of a host name, and a property that is has a known form.
    reached = {name for url in found.manifest.urls for name in Template(url.split("/")[2]).get_identifiers()}
    for prop in found.manifest.properties:
        if prop.name in reached and not prop.template:
            assert not prop.is_secret
            assert prop.is_confined
    # Whatever is asked for by an auth method is explained to whoever is asked.
    for prop in found.manifest.properties:
        if prop.level == "system":
            continue
        anchors = {guide.sections[anchor].audience for anchor in prop.help_anchors}
        assert "customer" in anchors or prop.level == "partner", prop.name
        assert "partner" in anchors or prop.level == "account", prop.name
        # What a customer is never asked for is not explained to one.
        assert "customer" not in anchors or prop.level != "partner", prop.name
