"""The one door to the outside: where it may lead, what goes through it, and how long it stays open."""

import socket
import threading
import time

import pytest
import requests.adapters

from console import http
from installations.auth.authorization_code import AuthorizationCode
from installations.auth.token_response import TokenError
from tests.product import full
from tests.stand_ins.quirks import Authority, Quirks, answer, drip
from tests.test_token_response import method

GOOD = answer('{"access_token": "the-token"}')
KEPT_OPEN = answer("{}", close=False)


def get(url: str, headers: dict[str, str]):
    return http.send(url, headers=headers)


@pytest.fixture
def quirks():
    """Start servers that end with the test."""
    running = []

    def start(respond=GOOD, **fields) -> Quirks:
        running.append(Quirks(respond, **fields))
        return running[-1]

    yield start
    for server in running:
        server.__exit__()


@pytest.fixture
def resolve(monkeypatch):
    """Make names lead to addresses of our choice, and count how often each is asked for."""
    known, asked, real = {}, [], socket.getaddrinfo

    def getaddrinfo(host, port, *args, **kwargs):
        # Some libraries ask with bytes; a look-up that misses them would prove nothing.
        name = host.decode() if isinstance(host, bytes) else host
        if name not in known:
            return real(host, port, *args, **kwargs)
        asked.append(name)
        found = known[name]() if callable(known[name]) else known[name]
        return [
            (socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port))
            for ip in found
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    def add(name, *addresses):
        known[name] = addresses[0] if callable(addresses[0]) else addresses
        return asked

    return add


@pytest.fixture
def loopback_is_public(monkeypatch):
    """Let a test connect without a stand-in's exemption: by these addresses, through every other check."""

    def allow(*addresses, port):
        real = http.is_public
        monkeypatch.setattr(http, "is_public", lambda address: address in addresses or real(address))
        monkeypatch.setattr(http, "PORTS", {port})

    return allow


def refused(url: str) -> str:
    """The kind of the refusal."""
    with pytest.raises(http.Unreachable) as caught:
        get(url, {"Authorization": "Bearer the-credential"})
    return caught.value.kind


# ── addresses ───────────────────────────────────────────────────────────────────────────────────

# By the IANA special-purpose address registries, and what embeds one of them.
SPECIAL_IPV4 = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.8",
    "192.0.0.170",
    "192.0.0.192",
    "192.0.2.1",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.175.48.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
]
SPECIAL_IPV6 = [
    "::",
    "::1",
    # IPv4-compatible, IPv4-mapped, SIIT, NAT64
    "::127.0.0.1",
    "::169.254.169.254",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:100.64.0.1",
    "::ffff:169.254.169.254",
    "::ffff:93.184.216.34",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::1",
    # Teredo and its neighbours
    "2001::1",
    "2001:0:7f00:1::",
    "2001:1::1",
    "2001:2::1",
    "2001:4:112::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    # 6to4
    "2002:7f00:1::1",
    "2002:a9fe:a9fe::1",
    "2620:4f:8000::1",
    "3fff::1",
    "5f00::1",
    "100::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.216.34",
    "2606:4700:4700::1111",
    "2001:4860:4860::8888",
    "2a00:1450:4001:800::200e",
]


def test_the_list_of_special_addresses_is_complete():
    assert (len(set(SPECIAL_IPV4)), len(set(SPECIAL_IPV6))) == (27, 31)


@pytest.mark.parametrize("address", [*SPECIAL_IPV4, *SPECIAL_IPV6])
def test_a_special_address_is_not_public(address):
    assert not http.is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_public(address):
    assert http.is_public(address)


LOOPBACK_SPELLINGS = [
    "127.0.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "017700000001",
    "0177.0.0.1",
    "127.1",
    "0",
    "localhost",
    "LOCALHOST",
    "①②⑦.⓪.⓪.①",
    "127。0。0。1",
]


@pytest.mark.parametrize("host", [*LOOPBACK_SPELLINGS, "[::ffff:127.0.0.1]", "[::1]"])
def test_no_spelling_of_this_machine_is_connected_to(host, quirks, monkeypatch):
    server = quirks(None)
    monkeypatch.setattr(http, "PORTS", {server.port})
    # "connection" where not even an address can be made of it.
    assert refused(f"https://{host}:{server.port}/") == ("address" if host.isascii() else "connection")
    assert server.connections == 0


@pytest.mark.parametrize("host", LOOPBACK_SPELLINGS[:8])
def test_these_spellings_do_lead_to_this_machine(host, quirks, loopback_is_public):
    """Otherwise their refusal would prove nothing."""
    server = quirks(None)
    loopback_is_public("127.0.0.1", "0.0.0.0", port=server.port)
    assert refused(f"https://{host}:{server.port}/") in ("connection", "tls")
    assert server.connections == 1


@pytest.mark.parametrize("others", [["93.184.216.34"], ["2606:4700:4700::1111", "1.1.1.1"]])
@pytest.mark.parametrize("private", ["127.0.0.1", "10.0.0.1", "::1", "::ffff:127.0.0.1", "fe80::1%1"])
@pytest.mark.parametrize("first", [True, False])
def test_a_name_with_a_public_and_a_private_address_is_refused(
    first, private, others, quirks, resolve, monkeypatch
):
    server = quirks()
    monkeypatch.setattr(http, "PORTS", {server.port})
    asked = resolve("mixed.example", *([private, *others] if first else [*others, private]))
    assert refused(f"https://mixed.example:{server.port}/") == "address"
    assert asked == ["mixed.example"]
    assert server.connections == 0


def test_the_address_that_was_checked_is_the_one_connected_to(quirks, resolve, loopback_is_public):
    """A name that answers differently the second time gains nothing."""
    right = quirks(None, host="127.0.0.2")
    wrong = quirks(None, host="127.0.0.1", port=right.port)
    loopback_is_public("127.0.0.2", port=right.port)
    answers = []

    def rebinding():
        answers.append(["127.0.0.2", "127.0.0.1"][len(answers) % 2])
        return [answers[-1]]

    asked = resolve("rebinding.example", rebinding)
    rounds = full(100, 1000)
    kinds = [refused(f"https://rebinding.example:{right.port}/") for _ in range(rounds)]
    assert kinds[1::2] == ["address"] * (rounds // 2)
    assert "address" not in kinds[0::2]
    assert len(asked) == rounds
    assert wrong.connections == 0
    assert right.connections == rounds // 2


def test_a_second_address_is_tried_when_the_first_is_dead(quirks, resolve, settings):
    server = quirks()
    settings.STAND_IN_ORIGINS = {"https://provider.example": f"http://two.example:{server.port}"}
    resolve("two.example", "127.0.0.2", "127.0.0.1")
    assert get("https://provider.example/", {}).status_code == 200


def test_a_name_without_an_address_is_unreachable(resolve):
    def nothing():
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    resolve("nowhere.example", nothing)
    assert refused("https://nowhere.example/") == "dns"


def test_the_deadline_holds_for_the_name_look_up_too(resolve, monkeypatch):
    monkeypatch.setattr(http, "DEADLINE_SECONDS", 0.5)
    resolve("slow.example", lambda: time.sleep(2) or ["1.1.1.1"])
    started = time.monotonic()
    assert refused("https://slow.example/") == "timeout"
    assert time.monotonic() - started < 1.5


# ── schemes and ports ───────────────────────────────────────────────────────────────────────────


def test_plain_http_is_refused_even_where_it_would_lead_somewhere(quirks, settings):
    server = quirks()
    settings.STAND_IN_ORIGINS = {"http://provider.example": server.origin}
    assert refused("http://provider.example/") == "scheme"
    assert refused(f"{server.origin}/") == "scheme"
    assert server.connections == 0


@pytest.mark.parametrize(
    "url",
    [
        "ftp://provider.example/",
        "file:///etc/passwd",
        "gopher://provider.example/",
        "data:text/plain,x",
        "https:///",
        "https://*.provider.example/",
        "https://.provider.example/",
        "https://a..b/",
        f"https://{'a' * 64}.example/",
        "https://[::1/",
        "https://provider.example:99999/",
        "//provider.example/",
        "provider.example",
        "",
    ],
)
def test_an_address_that_makes_no_sense_is_unreachable_and_no_crash(url, resolve):
    asked = resolve("provider.example", "93.184.216.34")
    refused(url)
    assert asked == []


@pytest.mark.parametrize("port", [1, 22, 25, 80, 444, 5432, 6379, 8000, 8442, 8444, 65535])
def test_other_ports_are_refused_before_the_name_is_looked_up(port, resolve):
    asked = resolve("provider.example", "93.184.216.34")
    assert refused(f"https://provider.example:{port}/") == "address"
    assert asked == []


def test_the_two_ports_of_https_are_allowed(quirks, resolve, loopback_is_public, monkeypatch):
    assert {443, 8443} == http.PORTS
    server = quirks(None)
    resolve("provider.example", "127.0.0.1")
    loopback_is_public("127.0.0.1", port=server.port)
    assert refused(f"https://provider.example:{server.port}/") in ("connection", "tls")
    assert server.connections == 1
    monkeypatch.setattr(http, "PORTS", {443, 8443})
    assert refused(f"https://provider.example:{server.port}/") == "address"
    assert server.connections == 1


# ── redirects, cookies, environment ─────────────────────────────────────────────────────────────


@pytest.mark.django_db
@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Again", "308 Gone"])
@pytest.mark.parametrize(
    "location", ["https://other.example", "//other.example/", "http://other.example/", "/"]
)
def test_a_redirect_is_an_answer_like_any_other(status, location, quirks, settings):
    other = quirks()
    server = quirks(answer("{}", f"Location: {location}", status=status))
    settings.STAND_IN_ORIGINS = {
        "https://provider.example": server.origin,
        "https://other.example": other.origin,
        "http://other.example": other.origin,
    }
    found = get("https://provider.example/", {"Authorization": "Bearer the-credential"})
    assert found.status_code == int(status[:3])
    assert (len(server.requests), other.connections) == (1, 0)
    grant = AuthorizationCode(
        method(), {"client_id": "c", "client_secret": "s"}, redirect_uri="https://console.test/"
    )
    with pytest.raises(TokenError):
        grant.obtain(code="the-code", code_verifier="v" * 43)
    assert (len(server.requests), other.connections) == (2, 0)


@pytest.mark.django_db
def test_one_partners_session_at_a_provider_is_not_carried_into_the_next_request(quirks, settings):
    setting = answer(
        '{"access_token": "the-token"}',
        "Set-Cookie: session=of-one-partner; Path=/",
        "Set-Cookie: wide=of-one-partner; Domain=example; Path=/; Max-Age=9999",
    )
    server = quirks(setting)
    settings.STAND_IN_ORIGINS = {"https://*": server.origin}
    get("https://provider.example/", {})
    get("https://provider.example/", {})
    get("https://other.example/", {})
    for _ in range(2):
        grant = AuthorizationCode(
            method(), {"client_id": "c", "client_secret": "s"}, redirect_uri="https://console.test/"
        )
        grant.obtain(code="the-code", code_verifier="v" * 43)
        grant.obtain(code="the-code", code_verifier="v" * 43)
    assert len(server.requests) == 7
    assert not any("cookie" in request.headers for request in server.requests)


@pytest.mark.django_db
def test_proxies_and_passwords_of_the_environment_are_not_used(quirks, settings, monkeypatch, tmp_path):
    server, proxy = quirks(), quirks()
    settings.STAND_IN_ORIGINS = {"https://provider.example": server.origin}
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.origin)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    (tmp_path / "netrc").write_text("machine provider.example login someone password something\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    get("https://provider.example/", {})
    grant = AuthorizationCode(
        method(token_endpoint_auth_method="client_secret_post"),
        {"client_id": "c", "client_secret": "s"},
        redirect_uri="https://console.test/",
    )
    grant.obtain(code="the-code", code_verifier="v" * 43)
    assert (len(server.requests), proxy.connections) == (2, 0)
    assert not any("authorization" in request.headers for request in server.requests)


# ── TLS ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.mark.parametrize(
    ("certificate", "kind"),
    [
        ({}, None),
        ({"expired": True}, "tls"),
        ({"self_signed": True}, "tls"),
        ({"host": "other.example"}, "tls"),
        ({"host": "127.0.0.1"}, "tls"),
    ],
)
def test_a_certificate_counts_for_the_name_that_was_asked_for(
    certificate, kind, quirks, resolve, loopback_is_public, authority, monkeypatch
):
    """Name and certificate stay those of the URL, though it is the checked address we connect to."""
    monkeypatch.setattr(requests.adapters, "DEFAULT_CA_BUNDLE_PATH", str(authority.bundle))
    wanted = {"host": "provider.example", **certificate}
    server = quirks(tls=authority.issue(wanted.pop("host"), **wanted))
    resolve("provider.example", "127.0.0.1")
    loopback_is_public("127.0.0.1", port=server.port)
    url = f"https://provider.example:{server.port}/"
    if kind:
        assert refused(url) == kind
        assert server.requests == []
    else:
        assert get(url, {}).status_code == 200
        assert server.requests[0].headers["host"] == f"provider.example:{server.port}"
    assert server.server_names == ["provider.example"]


def test_an_authority_that_only_the_environment_trusts_is_not_trusted(
    quirks, resolve, loopback_is_public, authority, monkeypatch
):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.bundle))
    monkeypatch.setenv("CURL_CA_BUNDLE", str(authority.bundle))
    server = quirks(tls=authority.issue("provider.example"))
    resolve("provider.example", "127.0.0.1")
    loopback_is_public("127.0.0.1", port=server.port)
    assert refused(f"https://provider.example:{server.port}/") == "tls"


def test_a_drip_inside_tls_ends_at_the_deadline_too(
    quirks, resolve, loopback_is_public, authority, monkeypatch
):
    monkeypatch.setattr(requests.adapters, "DEFAULT_CA_BUNDLE_PATH", str(authority.bundle))
    monkeypatch.setattr(http, "DEADLINE_SECONDS", 1.5)
    server = quirks(lambda _: drip(GOOD, 0.4), tls=authority.issue("provider.example"))
    resolve("provider.example", "127.0.0.1")
    loopback_is_public("127.0.0.1", port=server.port)
    started = time.monotonic()
    assert refused(f"https://provider.example:{server.port}/") == "timeout"
    assert 1 < time.monotonic() - started < 2.5


def test_a_handshake_that_never_comes_ends_soon(quirks, resolve, loopback_is_public, monkeypatch):
    monkeypatch.setattr(http, "CONNECT_SECONDS", 0.5)
    # The kernel accepts on behalf of a server that never does.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        resolve("provider.example", "127.0.0.1")
        loopback_is_public("127.0.0.1", port=port)
        started = time.monotonic()
        assert refused(f"https://provider.example:{port}/") == "timeout"
    assert time.monotonic() - started < 1.5


# ── time, connections, threads ──────────────────────────────────────────────────────────────────


def test_a_connection_is_used_again(quirks, settings):
    server = quirks(KEPT_OPEN)
    settings.STAND_IN_ORIGINS = {"https://provider.example": server.origin}
    for _ in range(5):
        get("https://provider.example/", {})
    assert (len(server.requests), server.connections) == (5, 1)


def test_each_request_on_a_connection_has_a_deadline_of_its_own(quirks, settings, monkeypatch):
    monkeypatch.setattr(http, "DEADLINE_SECONDS", 1)
    server = quirks(lambda _: [0.4, KEPT_OPEN])
    settings.STAND_IN_ORIGINS = {"https://provider.example": server.origin}
    for _ in range(4):
        get("https://provider.example/", {})
    assert server.connections == 1
    server.respond = lambda _: [5.0]
    started = time.monotonic()
    assert refused("https://provider.example/") == "timeout"
    assert 0.9 < time.monotonic() - started < 1.5


def test_a_connection_that_failed_is_not_used_again(quirks, settings, monkeypatch):
    monkeypatch.setattr(http, "DEADLINE_SECONDS", 0.5)
    server = quirks(lambda _: [KEPT_OPEN[:-1], 1.0, b"}"])
    settings.STAND_IN_ORIGINS = {"https://provider.example": server.origin}
    assert refused("https://provider.example/") == "timeout"
    server.respond = answer("[]", close=False)
    # The rest of the late answer must not pass for the answer to another request.
    assert get("https://provider.example/", {}).content == b"[]"
    assert server.connections == 2
    server.respond = answer(b"x" * (http.BODY_LIMIT + 5000), close=False)
    assert refused("https://provider.example/") == "too_large"
    server.respond = answer("[]", close=False)
    assert get("https://provider.example/", {}).content == b"[]"


def test_a_slow_server_takes_nobody_elses_time(quirks, settings, monkeypatch):
    """Twenty threads, one of which talks to a drip: it ends in time, and the others never notice."""
    monkeypatch.setattr(http, "DEADLINE_SECONDS", 2)
    slow, fast = quirks(lambda _: drip(GOOD, 0.2)), quirks(KEPT_OPEN)
    settings.STAND_IN_ORIGINS = {"https://slow.example": slow.origin, "https://fast.example": fast.origin}
    took, longest, failures = [], [], []

    def drag():
        started = time.monotonic()
        try:
            get("https://slow.example/", {})
        except http.Unreachable as error:
            took.append((error.kind, time.monotonic() - started))

    def hurry():
        # For longer than the slow one may take: a shared deadline would be put off again and again.
        until = time.monotonic() + 3
        while time.monotonic() < until:
            started = time.monotonic()
            try:
                get("https://fast.example/", {})
            except http.Unreachable as error:
                failures.append(error)
            longest.append(time.monotonic() - started)
            time.sleep(0.05)

    threads = [threading.Thread(target=target) for target in [drag, *[hurry] * 19]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ((kind, seconds),) = took
    assert kind == "timeout"
    assert 1.8 < seconds < 2.7
    assert failures == []
    assert max(longest) < 1
    assert len(longest) > 19 * 20
