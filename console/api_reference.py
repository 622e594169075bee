"""The API as people read it, from the OpenAPI document that programs read."""

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus

from django.conf import settings

from console.api import api
from console.models.api_key import SCOPES

# What stands in an example; else what is taken where nothing is sent, so that trying it mails nobody.
_BY_NAME = {
    "name": "Harbor Street Outfitters",
    "external_id": "cust-1042",
    "connector": "heartland-retail",
    "auth_method": "api_key",
    "access_token": "…",
    "url": "https://app.example.com/webhooks",
}
_BY_FORMAT = {
    "uuid": "6f1c2a52-8d0e-4c1b-9a57-2f6b0c7d4e11",
    "date-time": "2027-01-31T12:00:00Z",
    "date": "2027-01-31",
}
# The codes that come with a status whatever is asked. More may come where a provider is in the way.
_CODES = {
    401: ("key_missing", "key_malformed", "key_unknown", "key_revoked", "key_expired"),
    403: ("scope_missing", "network_refused", "partner_disabled"),
    404: ("not_found",),
    412: ("precondition_failed",),
    422: ("invalid_request",),
    429: ("too_many_calls", "too_many_tries"),
    500: ("api_down", "stored_value_unreadable"),
    504: ("provider_timeout",),
}
# Besides, of one kind of operation: by a parameter that it takes, by its tag, by its id.
_CODES_OF = {
    "cursor": {400: ("invalid_cursor",)},
    "Idempotency-Key": {
        400: ("idempotency_key_unusable",),
        409: ("idempotency_under_way",),
        422: ("idempotency_key_reused",),
    },
    "Proxy": {
        400: ("proxy_request_refused",),
        409: ("not_connected", "not_http", "installation_disabled", "connector_gone"),
        413: ("body_not_signable",),
        502: ("provider_unavailable",),
        503: ("too_many_under_way",),
    },
    "Connector settings": {403: ("account_key",)},
    "Webhooks": {403: ("account_key",)},
    "create_account": {403: ("account_key",)},
    "list_events": {403: ("account_key",)},
    "delete_account": {409: ("in_use",)},
    "update_connector_settings": {409: ("would_need_consent",)},
    "get_credential": {
        409: ("not_connected", "installation_disabled", "connector_gone"),
        429: ("too_many_credentials",),
    },
    "import_credential": {
        409: ("import_incomplete", "installation_disabled", "connector_gone"),
        422: ("import_refused",),
    },
    "test_installation": {409: ("not_connected", "connector_gone")},
    "create_setup_link": {409: ("installation_disabled",)},
    "reauthorise_installation": {409: ("installation_disabled", "connector_gone")},
    "test_webhook_endpoint": {409: ("webhook_endpoint_off",)},
    "replay_webhooks": {409: ("webhook_endpoint_off",)},
    "send_webhook_again": {409: ("webhook_endpoint_off",)},
}
_WORD = {"string": "…", "integer": 1, "number": 1, "boolean": False, "null": None}


@dataclass(frozen=True)
class Member:
    """One value of a body or an answer, or one parameter."""

    name: str
    kind: str
    description: str
    required: bool
    default: str
    place: str = ""
    choices: tuple[str, ...] = ()
    members: tuple["Member", ...] = ()


@dataclass(frozen=True)
class Answer:
    status: int
    title: str
    members: tuple[Member, ...]


@dataclass(frozen=True)
class Operation:
    id: str
    tag: str
    method: str
    path: str
    summary: str
    description: str
    scope: str
    scope_said: str
    parameters: tuple[Member, ...]
    body: tuple[Member, ...]
    example: str
    answers: tuple[Answer, ...]
    # Status, its words, and the codes that are known to come with it.
    problems: tuple[tuple[int, str, tuple[str, ...]], ...]
    curl: str

    @property
    def is_passed_on(self) -> bool:
        """A provider takes it, not this console."""
        return self.tag == "Proxy"

    @property
    def takes_body(self) -> bool:
        return bool(self.example)


@dataclass(frozen=True)
class Told:
    """What is posted to the partner's endpoints."""

    type: str
    what: str
    members: tuple[Member, ...]
    example: str


@dataclass(frozen=True)
class Reference:
    # Paragraphs.
    about: tuple[str, ...]
    tags: tuple[tuple[str, tuple[Operation, ...]], ...]
    told: tuple[Told, ...]


@lru_cache
def reference() -> Reference:
    document = api.get_openapi_schema()
    reader = _Reader(document["components"]["schemas"])
    tags: dict[str, list[Operation]] = {tag["name"]: [] for tag in document["tags"]}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            found = reader.operation(path, method, operation)
            tags[found.tag].append(found)
    about = document["info"]["description"].replace("_…`.", "_` and the rest of the key.").split("\n\n")
    told = tuple(reader.told(type, found["post"]) for type, found in document["webhooks"].items())
    return Reference(tuple(about), tuple((tag, tuple(found)) for tag, found in tags.items()), told)


class _Reader:
    def __init__(self, schemas: dict):
        self.schemas = schemas

    def operation(self, path: str, method: str, found: dict) -> Operation:
        (security,) = found["security"]
        (scope,) = security["ApiKey"]
        sent = found.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
        # Of a change one member: whoever tries it changes no more than is meant.
        many = 1 if method == "patch" else 3
        example = json.dumps(self.example("", sent, many), indent=2, ensure_ascii=False) if sent else ""
        codes = {int(code): said for code, said in found["responses"].items()}
        return Operation(
            id=found["operationId"],
            tag=found["tags"][0],
            method=method.upper(),
            path=path,
            summary=found["summary"],
            description=found.get("description", ""),
            scope=scope,
            scope_said=SCOPES[scope],
            parameters=tuple(self.parameter(parameter) for parameter in found.get("parameters", ())),
            body=self.members(sent) if sent else (),
            example=example,
            answers=tuple(self.answer(code, said) for code, said in codes.items() if code < 400),
            problems=tuple(
                (code, HTTPStatus(code).phrase, _codes(code, found)) for code in sorted(codes) if code >= 400
            ),
            curl=_curl(path, method, example),
        )

    def told(self, type: str, found: dict) -> Told:
        body = found["requestBody"]["content"]["application/json"]
        return Told(
            type=type,
            what=found["summary"],
            members=self.members(body["schema"]["properties"]["data"]),
            example=json.dumps(body["example"], indent=2, ensure_ascii=False),
        )

    def parameter(self, found: dict) -> Member:
        schema = {**found["schema"], "description": found.get("description", "")}
        required = found.get("required", False) or found["in"] == "path"
        return self.member(found["name"], schema, required, place=found["in"])

    def answer(self, code: int, said: dict) -> Answer:
        schema = said.get("content", {}).get("application/json", {}).get("schema")
        return Answer(code, HTTPStatus(code).phrase, self.members(schema) if schema else ())

    def resolved(self, schema: dict) -> dict:
        """What is meant, without references and without the possibility of null."""
        if "$ref" in schema:
            return self.resolved(self.schemas[schema["$ref"].rpartition("/")[2]])
        kinds = [kind for kind in schema.get("anyOf", ()) if kind.get("type") != "null"]
        if len(kinds) == 1:
            return {**self.resolved(kinds[0]), **{k: v for k, v in schema.items() if k != "anyOf"}}
        if len(schema.get("allOf", ())) == 1:
            return {**self.resolved(schema["allOf"][0]), **{k: v for k, v in schema.items() if k != "allOf"}}
        return schema

    def members(self, schema: dict) -> tuple[Member, ...]:
        found = self.resolved(schema)
        if found.get("type") == "array":
            return self.members(found["items"])
        required = found.get("required", ())
        properties = found.get("properties", {})
        return tuple(self.member(name, value, name in required) for name, value in properties.items())

    def member(self, name: str, schema: dict, required: bool, place: str = "") -> Member:
        found = self.resolved(schema)
        default = found.get("default")
        return Member(
            name=name,
            kind=self.kind(schema),
            description=schema.get("description", ""),
            required=required,
            default="" if default in (None, "", {}, []) else json.dumps(default),
            place=place,
            choices=tuple(map(str, found.get("enum", ()))),
            members=self.members(found),
        )

    def kind(self, schema: dict) -> str:
        """Its type in words: "list of strings", "date-time or null"."""
        found = self.resolved(schema)
        kind = found.get("format") or found.get("type", "any")
        if kind == "array":
            kind = f"list of {self.kind(found['items'])}s"
        elif kind == "object" and isinstance(found.get("additionalProperties"), dict):
            kind = f"object of {self.kind(found['additionalProperties'])}"
        may_be_null = any(kind.get("type") == "null" for kind in schema.get("anyOf", ()))
        return f"{kind} or null" if may_be_null else kind

    def example(self, name: str, schema: dict, many: int = 3):
        """A value that the schema takes. Of an object what is required, and else the first members."""
        found = self.resolved(schema)
        if found.get("enum"):
            return found.get("default", found["enum"][0])
        kind = found.get("type")
        if kind == "object":
            required = found.get("required", ())
            names = [key for key in found.get("properties", {}) if key in required]
            others = [key for key in found.get("properties", {}) if key not in required]
            names += others[: max(many - len(names), 0)]
            return {key: self.example(key, found["properties"][key]) for key in names}
        if kind == "array":
            return []
        if "format" in found:
            return _BY_FORMAT.get(found["format"], "…")
        return _BY_NAME.get(name, found.get("default", _WORD.get(kind, "…")))


def _codes(status: int, operation: dict) -> tuple[str, ...]:
    """The codes that are known to come with this status from this operation."""
    parameters = [parameter["name"] for parameter in operation.get("parameters", ())]
    # The proxy hands it on.
    own = [name for name in parameters if operation["tags"] != ["Proxy"] or name != "Idempotency-Key"]
    body = ("unreadable_body",) if status == 400 and "requestBody" in operation else ()
    found = [
        _CODES_OF.get(name, {}).get(status, ())
        for name in (operation["operationId"], *operation["tags"], *own)
    ]
    return tuple(
        dict.fromkeys([*_CODES.get(status, ()), *body, *(code for codes in found for code in codes)])
    )


def _curl(path: str, method: str, example: str) -> str:
    path = re.sub(r"{(\w+)}", lambda found: f"${found[1].upper()}", path)
    lines = [f'curl "{settings.BASE_URL}{path}"', '  -H "Authorization: Bearer $API_KEY"']
    if method != "get":
        lines[0] = f'curl -X {method.upper()} "{settings.BASE_URL}{path}"'
    if method == "post":
        lines.append('  -H "Idempotency-Key: $(uuidgen)"')
    if example:
        lines += ['  -H "Content-Type: application/json"', f"  -d '{example}'"]
    return " \\\n".join(lines)
