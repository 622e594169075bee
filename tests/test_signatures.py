"""Each connector's webhook is verified as the provider documents it, and nothing that was changed is.

samples/received.http is a request as the provider's pages have it, received.json the secret that it was
signed with, the time at which it came, and what it says: its type and its id.
"""

import base64
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.http.request import HttpHeaders

from connectors import registry
from connectors.authoring.changes import compare
from connectors.manifest import BadManifest, json_schema, parse
from connectors.manifest.webhook import Place, Webhook
from connectors.registry import Connector
from installations.hooks import signatures
from installations.hooks.signatures import Incoming, Refused, verify

LIBRARY = Path(__file__).resolve().parents[1] / "connectors" / "library"
DECLARED = [slug for slug, connector in sorted(registry.all().items()) if connector.manifest.webhook]
# What a shared token or an unsigned header allows is the provider's to answer for.
HMAC = [slug for slug in DECLARED if registry.get(slug).manifest.webhook.signature.type == "hmac"]
TIMED = [slug for slug in HMAC if registry.get(slug).manifest.webhook.signature.timestamp]


@dataclass(frozen=True)
class Sample:
    webhook: Webhook
    incoming: Incoming
    secret: str
    at: datetime
    event_type: str
    delivery_id: str

    @classmethod
    def of(cls, slug: str) -> "Sample":
        folder = LIBRARY / slug / "samples"
        head, _, body = (folder / "received.http").read_text(encoding="utf-8").partition("\n\n")
        first, *lines = head.splitlines()
        method, _, url = first.partition(" ")
        told = json.loads((folder / "received.json").read_text(encoding="utf-8"))
        incoming = Incoming(
            method, url, as_headers(dict(line.split(": ", 1) for line in lines)), body[:-1].encode()
        )
        at = datetime.fromisoformat(told.pop("at"))
        return cls(registry.get(slug).manifest.webhook, incoming, at=at, **told)

    def with_header(self, name: str, value: str) -> Incoming:
        named = {key: text for key, text in self.incoming.headers.items() if key.lower() != name.lower()}
        return replace(self.incoming, headers=as_headers({**named, name: value}))


def as_headers(named: dict[str, str]) -> HttpHeaders:
    return HttpHeaders({f"HTTP_{name.upper().replace('-', '_')}": value for name, value in named.items()})


def is_refused(sample: Sample, incoming: Incoming, secret: str | None = None, at: datetime | None = None):
    try:
        verify(sample.webhook, incoming, sample.secret if secret is None else secret, at or sample.at)
    except Refused:
        return True
    return False


def test_there_are_enough_of_them():
    assert len(DECLARED) >= 10


@pytest.mark.parametrize("slug", DECLARED)
def test_the_documented_request_is_proven_and_says_what_it_is(slug):
    sample = Sample.of(slug)
    signed = verify(sample.webhook, sample.incoming, sample.secret, sample.at)
    assert sample.incoming.body in signed
    content = signatures.read_json(sample.incoming.body)
    assert signatures.found(sample.webhook.event_type, sample.incoming, content) == sample.event_type
    assert signatures.found(sample.webhook.delivery_id, sample.incoming, content) == sample.delivery_id


@pytest.mark.parametrize("slug", DECLARED)
def test_the_names_of_headers_do_not_care_for_case(slug):
    sample = Sample.of(slug)
    lower = as_headers({name.lower(): value for name, value in sample.incoming.headers.items()})
    assert verify(sample.webhook, replace(sample.incoming, headers=lower), sample.secret, sample.at)


@pytest.mark.parametrize("slug", HMAC)
def test_no_body_that_was_changed_is_proven(slug):
    sample = Sample.of(slug)
    body = sample.incoming.body
    changed = [body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :] for at in range(len(body))]
    changed += [body[:-1], body + b" ", b" " + body, body + b"\n", b"", b"{}", body * 2, body[::-1] + b"x"]
    assert [each for each in changed if not is_refused(sample, replace(sample.incoming, body=each))] == []


@pytest.mark.parametrize("slug", DECLARED)
def test_no_signature_that_was_changed_is_proven(slug):
    sample = Sample.of(slug)
    header = sample.webhook.signature.header
    given = sample.incoming.headers[header]
    right = sample.secret
    if slug in HMAC:
        stamp = signatures.stamp(sample.webhook.signature, sample.incoming)
        right = signatures.sign(sample.webhook, sample.incoming, sample.secret, stamp)
    start = given.index(right)
    changed = [
        given[:at] + ("0" if given[at] != "0" else "1") + given[at + 1 :]
        for at in range(start, start + len(right))
    ]
    others = (right.swapcase(), right[:-1], f"x{right}", f"{right}x")
    changed += [given.replace(right, text) for text in others]
    changed += ["", "=", ",", "v1=", "sha256=", "v0=", "é" * 64, "0" * 64, "t=1,v1=" + "0" * 64]
    assert [text for text in changed if not is_refused(sample, sample.with_header(header, text))] == []
    assert is_refused(sample, replace(sample.incoming, headers=as_headers({})))


@pytest.mark.parametrize("slug", DECLARED)
def test_no_other_secret_will_do(slug):
    sample = Sample.of(slug)
    others = ["", " ", sample.secret + " ", sample.secret[:-1], sample.secret.swapcase() + "x", "ü", "\0"]
    assert [each for each in others if not is_refused(sample, sample.incoming, secret=each)] == []


@pytest.mark.parametrize("slug", TIMED)
def test_an_old_request_and_one_from_the_future_are_refused(slug):
    sample = Sample.of(slug)
    tolerance = timedelta(seconds=sample.webhook.signature.timestamp.tolerance_seconds)
    second = timedelta(seconds=1)
    for away in (tolerance + second, timedelta(days=1), timedelta(days=4000)):
        for at in (sample.at + away, sample.at - away):
            with pytest.raises(Refused) as refused:
                verify(sample.webhook, sample.incoming, sample.secret, at)
            assert refused.value.code == "timestamp_old"
    for at in (sample.at + tolerance - second, sample.at - tolerance + second):
        assert verify(sample.webhook, sample.incoming, sample.secret, at)


@pytest.mark.parametrize("slug", [slug for slug in TIMED if slug != "linear"])
def test_a_time_that_was_changed_is_refused(slug):
    """Of one in the body that is said above: it is part of what no change goes through in."""
    sample = Sample.of(slug)
    place = sample.webhook.signature.timestamp
    header = place.header or sample.webhook.signature.header
    for stamp in ("", "0", "1", "x", "-1", "1e9", "9" * 40, "9" * 10_000, "2026-11-27", "٣", "nan"):
        text = stamp
        if place.key:
            text = ",".join(
                f"{place.key}={stamp}" if part.startswith(f"{place.key}=") else part
                for part in sample.incoming.headers[header].split(",")
            )
        assert is_refused(sample, sample.with_header(header, text)), stamp


@pytest.mark.parametrize("stamp", ["", "x", "9" * 13, "1795780800.5", " 1795780800", "+1795780800", "٣٣٣٣"])
def test_a_time_that_is_signed_and_is_none_is_refused(stamp):
    """A provider's key in the wrong hands still proves nothing for ever."""
    sample = Sample.of("slack")
    signature = "v0=" + signatures.sign(sample.webhook, sample.incoming, sample.secret, stamp)
    headers = {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": signature}
    incoming = replace(sample.incoming, headers=as_headers(headers))
    with pytest.raises(Refused):
        verify(sample.webhook, incoming, sample.secret, datetime(2026, 11, 27, 12, tzinfo=UTC))


def test_two_times_in_one_header_are_none():
    sample = Sample.of("stripe")
    given = sample.incoming.headers["Stripe-Signature"]
    twice = sample.with_header("Stripe-Signature", f"t=1,{given}")
    with pytest.raises(Refused) as refused:
        verify(sample.webhook, twice, sample.secret, sample.at)
    assert refused.value.code == "timestamp_missing"


@pytest.mark.parametrize("slug", ["square", "hubspot"])
def test_a_request_to_another_address_or_by_another_method_is_refused(slug):
    sample = Sample.of(slug)
    assert is_refused(sample, replace(sample.incoming, url=sample.incoming.url + "x"))
    if slug == "hubspot":
        assert is_refused(sample, replace(sample.incoming, method="PUT"))


def test_a_body_that_is_not_text_is_verified_as_it_came():
    sample = Sample.of("github")
    for body in (b"\xff\xfe\x00", b"", b"\0" * 1000, "ü".encode("latin-1"), b'{"a": "\xed\xa0\x80"}'):
        incoming = replace(sample.incoming, body=body)
        given = "sha256=" + signatures.sign(sample.webhook, incoming, sample.secret)
        incoming = replace(incoming, headers=as_headers({"X-Hub-Signature-256": given}))
        assert verify(sample.webhook, incoming, sample.secret, sample.at) == body


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"id": "a\\u0000b\\nc\\ud800"}', "abc"),
        (b'{"id": 7}', "7"),
        (b'{"id": true}', ""),
        (b'{"id": {"id": 1}}', ""),
        (b'{"id": null}', ""),
        (b"[" * 100_000, ""),
        (b'{"id": %s}' % (b"9" * 10_000), ""),
        (b"\xff", ""),
        (b"NaN", ""),
        (b"", ""),
    ],
)
def test_what_a_body_says_of_itself_is_one_line_of_text(body, said):
    incoming = Incoming("POST", "https://console.example/hooks/x/", as_headers({}), body)
    assert signatures.found(Place(path="id"), incoming, signatures.read_json(body)) == said


def test_samples_stand_beside_the_connectors_that_declare_webhooks_and_beside_no_others():
    beside = {path.parents[1].name for path in LIBRARY.glob("*/samples/received.http")}
    assert beside == set(DECLARED)


def test_a_signature_is_compared_as_it_was_encoded():
    """Base64 has several ways to write the same bytes; only the provider's counts."""
    sample = Sample.of("shopify")
    given = sample.incoming.headers["X-Shopify-Hmac-SHA256"]
    raw = base64.b64decode(given)
    for other in (given + "\n", given.rstrip("="), raw.hex(), base64.urlsafe_b64encode(raw).decode() + "="):
        assert is_refused(sample, sample.with_header("X-Shopify-Hmac-SHA256", other))


GITHUB = (LIBRARY / "github" / "manifest.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        (
            'type = "hmac"',
            'type = "hmca"',
            "webhook.signature.type: 'hmca' is not allowed; did you mean 'hmac'?",
        ),
        (
            'prefix = "sha256="',
            'prefixes = "sha256="',
            "webhook.signature.prefixes: no such key; did you mean prefix?",
        ),
        ('prefix = "sha256="', 'signed = "${timestamp}"', "signed must hold ${body}"),
        ('prefix = "sha256="', 'signed = "${timestamp}${body}"', "timestamp does not say where it stands"),
        ('prefix = "sha256="', 'signed = "${secret}${body}"', "webhook.signature.signed: "),
        (
            'prefix = "sha256="',
            'timestamp = { header = "X-Time" }',
            "timestamp is not signed, so it proves nothing",
        ),
        ('prefix = "sha256="', 'timestamp = { key = "t" }', "timestamp is not signed, so it proves nothing"),
        (
            'header = "X-Hub-Signature-256"',
            'header = "X Hub"',
            "webhook.signature.header: 'X Hub' is not allowed",
        ),
        ('event_type = { header = "X-GitHub-Event" }', "event_type = {}", "webhook.event_type: "),
        ('by = "us"', 'by = "handshake"', "a secret by handshake needs the challenge handshake"),
        ('by = "us"', 'by = "them"', "webhook.secret.by: 'them' is not allowed"),
        ('label = "Secret"', "", "webhook.secret.label: is missing"),
    ],
    ids=range(12),
)
def test_a_mistake_in_a_manifest_is_told_with_its_place(right, wrong, said):
    head, _, tail = GITHUB.partition("[webhook]")
    assert right in tail
    with pytest.raises(BadManifest) as bad:
        parse(f"{head}[webhook]{tail.replace(right, wrong)}", slug="github")
    assert said in str(bad.value)
    assert ".hmac." not in str(bad.value)


def test_an_editor_knows_the_section():
    assert "Webhook" in json_schema()["$defs"]


def test_a_release_that_receives_otherwise_says_so():
    one = registry.get("github")
    other = Connector(one.manifest.model_copy(update={"webhook": None}), one.files._replace(manifest="other"))
    assert [change.text for change in compare(one, other)] == ["How webhooks are received was changed."]
