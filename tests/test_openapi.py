"""From a document that others wrote to a connector to begin with; whatever stands in it, it does no harm."""

import json
import time
import tomllib

import pytest
import yaml
from django.core.management import CommandError, call_command

from connectors import registry
from connectors.authoring import documents, openapi
from connectors.authoring.documents import BadDocument
from connectors.registry import Connector
from tests.samples import Samples
from tests.stand_ins.quirks import Quirks, answer

VERSION_2 = """
swagger: "2.0"
info: {title: Acme Shop API, description: "Sells anvils. And more.", version: 1.0.0}
host: api.acme.example
basePath: /v2
schemes: [http, https]
externalDocs: {url: "https://dev.acme.example/docs?version=2"}
securityDefinitions:
  key: {type: apiKey, in: header, name: X-Api-Key}
  login: {type: basic}
  consent:
    type: oauth2
    flow: accessCode
    authorizationUrl: https://acme.example/authorize?audience=shop
    tokenUrl: https://acme.example/token
    scopes: {"orders:read": Read orders}
paths:
  /orders: {get: {parameters: [{name: shop, in: query, required: true}], responses: {200: {description: ok}}}}
  /me:
    get:
      responses:
        200:
          description: Who asks
          schema: {$ref: "#/definitions/Me"}
definitions:
  Me: {type: object, properties: {id: {type: string}, email: {type: string}}}
"""
VERSION_3_0 = {
    "openapi": "3.0.3",
    "info": {"title": "Acme Desk", "version": "1"},
    "servers": [
        {
            "url": "https://{tenant}.acme.example/{version}",
            "variables": {"tenant": {"default": "demo"}, "version": {"default": "v1"}},
        }
    ],
    "components": {
        "securitySchemes": {
            "token": {"type": "http", "scheme": "bearer"},
            "machine": {
                "type": "oauth2",
                "flows": {"clientCredentials": {"tokenUrl": "/oauth/token", "scopes": {}}},
            },
        },
        "schemas": {"Account": {"allOf": [{"properties": {"account_id": {}, "company_name": {}}}]}},
    },
    "paths": {
        "/tickets": {"get": {"responses": {"200": {"description": "ok"}}}},
        "/account": {
            "get": {
                "responses": {
                    "200": {
                        "description": "ok",
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Account"}}},
                    }
                }
            }
        },
    },
}
VERSION_3_1 = {
    "openapi": "3.1.0",
    "info": {"title": "Acme Pay", "summary": "Takes money.", "version": "1"},
    "servers": [{"url": "https://pay.acme.example"}],
    "security": [{"application": [], "user": []}],
    "components": {
        "securitySchemes": {
            "application": {"type": "apiKey", "in": "header", "name": "X-Application"},
            "user": {"type": "apiKey", "in": "query", "name": "token"},
        }
    },
    "paths": {
        "/whoami": {
            "get": {
                "responses": {
                    "200": {
                        "description": "ok",
                        "content": {
                            "application/json": {
                                "schema": {
                                    "type": ["object", "null"],
                                    "properties": {"id": {"type": "string"}},
                                }
                            }
                        },
                    }
                }
            }
        }
    },
}
PLAIN = {
    "openapi": "3.0.0",
    "info": {"title": "Acme"},
    "servers": [{"url": "https://api.acme.example"}],
}


def made(content: dict | str | bytes, **options) -> Connector:
    """The connector of a document, as the product makes it of the document's bytes."""
    text = json.dumps(content) if isinstance(content, dict) else content
    sketch = openapi.read(documents.parse(text.encode() if isinstance(text, str) else text), **options)
    return registry.made("custom-acme", sketch.files())


def what_becomes_of(content: dict | str | bytes) -> str:
    """The connector's name, or the sentences with which the document is refused."""
    try:
        connector = made(content)
    except (BadDocument, registry.BadManifest) as error:
        return str(error)
    # As it would be stored.
    return f"{connector.name} {connector.digest}"


def notes(connector: Connector) -> str:
    lines = connector.files.manifest.splitlines()
    return "\n".join(line for line in lines if line.startswith("#"))


# ── what is read ──


def test_a_document_of_version_2_becomes_a_connector_with_its_three_ways():
    manifest = made(VERSION_2).manifest
    assert manifest.name == "Acme Shop"
    assert manifest.summary == "Sells anvils"
    assert manifest.base_url == "https://api.acme.example/v2"
    assert manifest.source == ("https://dev.acme.example/docs?version=2",)
    assert [method.type for method in manifest.auth_methods] == [
        "api_key",
        "http_basic",
        "authorization_code",
    ]
    assert manifest.method("api_key").inject.headers == {"X-Api-Key": "${api_key}"}
    consent = manifest.method("authorization_code")
    assert consent.authorization_endpoint == "https://acme.example/authorize"
    assert consent.authorization_params == {"audience": "shop"}
    assert consent.default_scopes == ("orders:read",)
    assert consent.scope_labels == {"orders:read": "Read orders"}
    assert manifest.verification.url == "https://api.acme.example/v2/me"
    assert manifest.verification.account_id == "id"
    assert manifest.verification.user_name == ("email",)


def test_a_document_of_version_3_0_becomes_one_whose_address_each_customer_has():
    manifest = made(VERSION_3_0).manifest
    assert manifest.base_url == "https://${tenant}.acme.example/v1"
    assert manifest.website == "https://acme.example/"
    assert manifest.unverified == ("The pages of the provider: no source named any.",)
    tenant = manifest.property_named("tenant")
    assert (tenant.level, tenant.secret) == ("account", False)
    assert tenant.fault("evil.example/x")
    assert not tenant.fault("harbor")
    assert manifest.method("api_key").inject.headers == {"Authorization": "Bearer ${api_key}"}
    assert (
        manifest.method("client_credentials").token_endpoint == "https://${tenant}.acme.example/oauth/token"
    )
    assert manifest.verification.url == "https://${tenant}.acme.example/v1/account"
    assert manifest.verification.account_id == "account_id"
    assert manifest.verification.account_name == ("company_name",)


def test_a_document_of_version_3_1_becomes_one_with_two_keys_that_belong_together():
    manifest = made(VERSION_3_1).manifest
    (method,) = manifest.auth_methods
    assert list(method.inject.headers) == ["X-Application"]
    assert list(method.inject.query) == ["token"]
    assert len(manifest.properties_for(method.key)) == 2
    assert manifest.verification.url == "https://pay.acme.example/whoami"


def test_json_and_yaml_of_the_same_document_are_the_same_connector():
    assert made(yaml.safe_dump(VERSION_3_0, sort_keys=False)).digest == made(VERSION_3_0).digest


def test_a_relative_server_is_meant_from_where_the_document_was_read():
    relative = {**PLAIN, "servers": [{"url": "/v3"}]}
    found = made(relative, url="https://docs.acme.example/openapi.json").manifest
    assert found.base_url == "https://docs.acme.example/v3"
    with pytest.raises(BadDocument, match="Enter the API's address"):
        made(relative)


def test_what_is_no_yes_and_no_date_in_yaml_stays_the_text_it_is():
    found = documents.parse(b"country: no\nday: 2026-01-02\nclock: 12:30:45\nport: 443\nopenapi: 3.1")
    assert found == {"country": "no", "day": "2026-01-02", "clock": "12:30:45", "port": 443, "openapi": 3.1}


def test_an_unquoted_number_counts_as_the_choice_that_it_is():
    server = 'servers: [{url: "https://a.acme.example:{port}/", variables: {port: {enum: [443, 8443]}}}]'
    port = made(f"openapi: 3.0.0\ninfo: {{title: Acme}}\n{server}").manifest.property_named("port")
    assert [choice.value for choice in port.choices] == ["443", "8443"]


def test_where_each_customer_has_a_host_of_its_own_none_is_guessed():
    manifest = made({**PLAIN, "servers": [{"url": "https://{host}/v1"}]}).manifest
    assert manifest.base_url == "https://${host}/v1"
    assert manifest.website == "https://acme.example/"
    assert manifest.property_named("host").fault("evil.example/x")


# ── what is not ──


def test_without_tls_no_credential_is_sent():
    with pytest.raises(BadDocument, match="without TLS"):
        made({**PLAIN, "servers": [{"url": "http://api.acme.example"}]})


@pytest.mark.parametrize("version", ["", 3, "4.0", [], {"$ref": "#/info"}, True])
def test_another_kind_of_document_is_named_as_what_it_says(version):
    with pytest.raises(BadDocument, match=r"This is no OpenAPI document that can be read"):
        made({**PLAIN, "openapi": version})


def test_a_remote_reference_is_named_and_nobody_is_asked(settings):
    with Quirks(answer(json.dumps({"type": "apiKey", "in": "header", "name": "X"}))) as elsewhere:
        settings.STAND_IN_ORIGINS = {"https://elsewhere.example": elsewhere.origin}
        remote = {"$ref": "https://elsewhere.example/schemes.json#/key"}
        beside = {"$ref": "other.yaml#/key"}
        connector = made({**PLAIN, "components": {"securitySchemes": {"key": remote, "other": beside}}})
        assert elsewhere.connections == 0
    assert "https://elsewhere.example/schemes.json#/key, which was not read" in notes(connector)
    assert "other.yaml#/key, which was not read" in notes(connector)


def test_a_way_to_authenticate_that_says_too_little_is_named_in_words():
    schemes = {"one": {}, "two": {"type": "mutualTLS"}, "three": {"type": "apiKey"}, "four": {"type": ["x"]}}
    said = notes(made({**PLAIN, "components": {"securitySchemes": schemes}}))
    assert "one is a way to authenticate that was not taken over (it names no type)." in said
    assert "two is a way to authenticate that was not taken over (mutualTLS)." in said
    assert "A key in a place that is not named was not taken over" in said
    assert "None" not in said


def test_references_in_a_circle_end():
    circle = {
        "a": {"$ref": "#/components/securitySchemes/b"},
        "b": {"$ref": "#/components/securitySchemes/a"},
    }
    me = {"type": "object", "properties": {"id": {}, "me": {"$ref": "#/components/schemas/Me"}}}
    me["allOf"] = [{"$ref": "#/components/schemas/Me"}] * 10
    schema = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Me"}}}}
    manifest = made(
        {
            **PLAIN,
            "components": {"securitySchemes": circle, "schemas": {"Me": me}},
            "paths": {"/me": {"get": {"responses": {"200": schema}}}},
        }
    ).manifest
    assert manifest.verification.account_id == "id"
    assert [method.type for method in manifest.auth_methods] == ["none"]


def bomb(levels: int = 30) -> str:
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, levels)]
    return "\n".join(lines)


MANY = [{}] * 20_000
CYCLE = {"allOf": [{"$ref": "#/s"}] * 10, "properties": {f"p{n}": {"$ref": "#/s"} for n in range(200)}}
ANSWER = {"200": {"content": {"application/json": {"schema": {"$ref": "#/s"}}}}}
# What would take minutes, or all of the memory, if it were read as it stands.
HUGE = {
    "a bomb of YAML anchors": bomb(),
    "an anchor that leads to itself": "openapi: &a [*a]",
    "a YAML mapping that is merged": "a: &a {b: c}\nd: {<<: *a}",
    "a long number to the base of sixty": "openapi: 1" + ":59" * 300_000,
    "a long hexadecimal number": "openapi: 0x" + "f" * 900_000,
    "a key twice among many": "{" + ",".join(f'"{n}":1' for n in range(200_000)) + ',"199999":1}',
    "deep lists in JSON": '{"a":' + "[" * 1_000_000,
    "deep lists in YAML": "a: " + "[" * 500_000,
    "deep lists in YAML, one in a line": "- " * 300_000,
    "large YAML": "a: b\n" * 300_000,
    "50 MB of JSON": '{"a":"' + "x" * 50_000_000 + '"}',
    "a title of blanks": json.dumps({**PLAIN, "info": {"title": "a" + " " * 1_000_000 + "b"}}),
    "a description without end": json.dumps({**PLAIN, "info": {"title": "a", "description": "a " * 500_000}}),
    "a list that many calls refer to": json.dumps(
        {
            **PLAIN,
            "x": {"get": {"responses": {}}, "parameters": MANY},
            "paths": {f"/a{n}": {"$ref": "#/x"} for n in range(5000)},
        }
    ),
    "an answer that holds itself": json.dumps(
        {**PLAIN, "s": CYCLE, "paths": {"/me": {"get": {"responses": ANSWER}}}}
    ),
}


@pytest.mark.parametrize("text", HUGE.values(), ids=HUGE)
def test_what_grows_while_it_is_read_is_refused_or_cut_short(text):
    started = time.process_time()
    said = what_becomes_of(text)
    assert time.process_time() - started < 3
    assert len(said) < 300


def test_a_document_has_five_megabytes_at_most():
    most = documents.SIZE_LIMIT - len('{"a":""}')
    assert documents.parse(b'{"a":"' + b"x" * most + b'"}')
    with pytest.raises(BadDocument, match="at most 5,242,880 bytes are read"):
        documents.parse(b'{"a":"' + b"x" * (most + 1) + b'"}')


BROKEN = {
    "nothing": b"",
    "blanks": b" \n",
    "no UTF-8": b"openapi: \xff",
    "a list": b"[]",
    "a text": b"hello",
    "broken JSON": b'{"openapi": ',
    "broken YAML": b"openapi: [",
    "a key twice": b"openapi: 3.0.0\nopenapi: 3.1.0",
    "a key that is a list": b"? [a]\n: b",
    "an object of Python": b"!!python/object/apply:os.system [touch /tmp/x]",
    "a tag that does not fit": b'a: !!bool "x"',
    "a number that is none": b'a: !!int ""',
    "a date that is none": b'a: !!timestamp "x"',
    "a character that cannot be": b'openapi: "\x00"',
    "two documents": b"a: b\n---\nc: d",
    "a number of 5,000 digits": b'{"openapi": ' + b"1" * 5000 + b"}",
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_a_broken_document_is_refused_in_one_sentence(data):
    with pytest.raises(BadDocument) as refused:
        documents.parse(data)
    assert str(refused.value).endswith(".")
    assert len(str(refused.value)) < 300


def test_what_is_wrong_with_yaml_is_said_with_its_line():
    with pytest.raises(BadDocument, match=r"line 3, column 1: the key 'info' stands here twice"):
        documents.parse(b"openapi: 3.0.0\ninfo: {}\ninfo: {}\n")


ODD = [
    None,
    True,
    1,
    1.5,
    "",
    "x",
    "\ud800",
    "a\x00b",
    [],
    [[]],
    [{}],
    ["x"],
    {},
    {"$ref": 1},
    {"$ref": "#/"},
]
ODD += [{"$ref": "#/info/title"}, {"x": None}, {"x": {"type": None}}, {"x": {"type": ["apiKey"]}}]
ODD += [{"x": {"type": "apiKey", "in": [], "name": {}}}, {"\ud800": {"type": "\ud800"}}]
ODD += [{"x": {"type": "oauth2", "flows": flows}} for flows in (None, [], {"password": 1}, {"implicit": {}})]
ODD += [{"/me": {"get": {"responses": {"200": odd}}}} for odd in (1, {"content": []}, {"content": {"a": 1}})]
ODD += [
    [{"url": odd}] for odd in (1, "https://[x", "https://a:b", "//[", "{", "https://{}", "https://{a}{a}")
]


@pytest.mark.parametrize(
    "where", ["info", "servers", "components", "paths", "security", "externalDocs", "schemes"]
)
def test_anything_may_stand_anywhere_and_it_is_a_draft_or_a_sentence(where):
    for odd in ODD:
        placed = {"components": {"securitySchemes": odd}} if where == "schemes" else {where: odd}
        assert what_becomes_of({**PLAIN, "security": [{"x": []}], **placed})


def test_security_schemes_whose_names_are_numbers_are_left_out():
    made(
        "openapi: 3.0.0\ninfo: {title: Acme}\nservers: [{url: 'https://a.example'}]\n"
        "security: [{1: [], 2: []}]\n"
        "components: {securitySchemes: {1: {type: apiKey}, 2: {type: http}}}"
    )


def test_what_looks_like_a_placeholder_in_a_document_is_text():
    place = "${client_secret}"
    oauth = {
        "authorizationUrl": f"https://acme.example/{place}?a={place}",
        "tokenUrl": f"https://acme.example/{place}",
        "scopes": {place: place},
    }
    connector = made(
        {
            **PLAIN,
            "info": {"title": f"Acme {place}", "description": place},
            "servers": [{"url": f"https://api.acme.example/{place}"}],
            "components": {
                "securitySchemes": {
                    "consent": {"type": "oauth2", "flows": {"authorizationCode": oauth}},
                    "key": {"type": "apiKey", "in": "header", "name": place},
                }
            },
        }
    )
    manifest = connector.manifest
    method = manifest.method("authorization_code")
    safe = "$${client_secret}"
    # In a server's address braces are OpenAPI's own: a part that each customer has, and no secret of ours.
    assert manifest.base_url == "https://api.acme.example/$$${address_client_secret}"
    assert method.token_endpoint.endswith(f"/{safe}")
    assert method.authorization_endpoint.endswith(f"/{safe}")
    assert method.authorization_params == {"a": safe}
    assert method.default_scopes == (safe,)
    section = next(iter(connector.guide.half("customer")))
    assert "the secret" not in section.render(client_secret="the secret", partner="Northwind")


def test_what_ends_a_comment_or_a_heading_stays_in_it():
    connector = made(
        {
            **PLAIN,
            "info": {"title": "Acme\n\n# Partner\n\n## <script>alert(1)</script>"},
            "components": {"securitySchemes": {'x"\nversion = "9.9"\r#': {"type": "strange\x1b"}}},
        }
    )
    assert connector.manifest.version == "1.0"
    assert tomllib.loads(connector.files.manifest)["name"].startswith("Acme # Partner")
    sections = [*connector.guide.half("partner"), *connector.guide.half("customer")]
    assert not any("<script" in section.render() for section in sections)


# ── from an address, from a shell ──


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/openapi.json",
        "https://[::1]/openapi.json",
        "https://169.254.169.254/latest/meta-data/",
        "https://10.0.0.1/",
        "https://localhost/",
        "https://0x7f000001/",
        "https://2130706433/",
        "https://[::ffff:127.0.0.1]/",
        "https://127.0.0.1:5432/",
        "https://example.com:22/",
        "http://example.com/openapi.json",
        "file:///etc/passwd",
        "https://",
        "https://[x/",
        "https://a b/",
    ],
)
def test_no_document_is_read_from_within_the_network_or_from_a_file(url, monkeypatch):
    connected = []
    monkeypatch.setattr("console.http.socket.create_connection", lambda *a, **k: connected.append(a))
    with pytest.raises(BadDocument, match="cannot be read"):
        documents.fetch(url)
    assert connected == []


@pytest.fixture
def published(settings):
    """A server that publishes documents, at https://docs.acme.example."""
    with Quirks(answer("")) as server:
        settings.STAND_IN_ORIGINS = {"https://docs.acme.example": server.origin}
        yield server


def test_a_redirect_is_named_and_not_followed(published):
    published.respond = answer("", "Location: https://169.254.169.254/", status="302 Found")
    with pytest.raises(BadDocument, match=r"leads on to https://169\.254\.169\.254/, which is not followed"):
        documents.fetch("https://docs.acme.example/openapi.json")
    assert len(published.requests) == 1


def test_an_address_that_answers_otherwise_is_named_with_its_status(published):
    published.respond = answer("", status="404 Not Found")
    with pytest.raises(BadDocument, match="answers with status 404"):
        documents.fetch("https://docs.acme.example/openapi.json")


def test_of_an_answer_without_end_no_more_is_read_than_is_allowed(published):
    published.respond = answer(b" " * (documents.SIZE_LIMIT + 1_000_000))
    with pytest.raises(BadDocument, match="more than"):
        documents.fetch("https://docs.acme.example/openapi.json")


def test_a_shell_imports_a_document_from_an_address(published, tmp_path, capsys):
    published.respond = answer(json.dumps(VERSION_3_0))
    call_command("connectors", "import-openapi", "https://docs.acme.example/openapi.json", "--into", tmp_path)
    assert registry.read(tmp_path / "acme-desk").name == "Acme Desk"
    assert "look at each line" in capsys.readouterr().out


def test_a_shell_imports_a_document_from_a_file(tmp_path):
    path = tmp_path / "acme.yaml"
    path.write_text(VERSION_2, encoding="utf-8")
    call_command("connectors", "import-openapi", str(path), "--key", "anvils", "--into", tmp_path / "library")
    connector = registry.read(tmp_path / "library" / "anvils")
    assert connector.name == "Acme Shop"
    assert sorted(path.name for path in (tmp_path / "library" / "anvils").iterdir()) == [
        "guide.md",
        "manifest.toml",
    ]
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["library"]


@pytest.mark.parametrize("source", ["nowhere.json", "http://docs.acme.example/", "https://10.0.0.1/", "."])
def test_a_shell_says_in_one_sentence_why_a_document_was_not_read(source, tmp_path):
    with pytest.raises(CommandError):
        call_command("connectors", "import-openapi", source, "--into", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", ["../acme", "/tmp/acme", "Acme", "", ".", "a b", "custom-acme", "-a", "ä"])
def test_a_shell_makes_no_folder_outside_of_the_library_or_with_a_name_it_cannot_have(key, tmp_path):
    into, document = tmp_path / "library", tmp_path / "acme.json"
    into.mkdir()
    document.write_text(json.dumps(VERSION_3_0), encoding="utf-8")
    with pytest.raises(CommandError, match="is no key of a connector"):
        call_command("connectors", "new", f"--into={into}", "--", key)
    if key:  # without one the title makes it
        with pytest.raises(CommandError, match="is no key of a connector"):
            call_command("connectors", "import-openapi", f"--key={key}", f"--into={into}", str(document))
    assert sorted(tmp_path.rglob("*")) == [document, into]


def test_what_a_shell_begins_is_good_at_once_and_is_never_overwritten(tmp_path, capsys):
    call_command("connectors", "new", "acme-shop", "--into", tmp_path)
    call_command("connectors", "validate", str(tmp_path / "acme-shop"))
    assert "1 connector is good" in capsys.readouterr().out
    samples = Samples(tmp_path / "acme-shop", "api_key")
    assert samples.request.headers == {"authorization": "Bearer example-api_key"}
    assert json.loads(samples.answer[0])["id"]
    (tmp_path / "acme-shop" / "guide.md").write_text("my own", encoding="utf-8")
    with pytest.raises(CommandError, match="is there already"):
        call_command("connectors", "new", "acme-shop", "--into", tmp_path)
    assert (tmp_path / "acme-shop" / "guide.md").read_text(encoding="utf-8") == "my own"
