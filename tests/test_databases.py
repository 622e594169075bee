"""Databases are signed in to: whether the credential is let in, and what kept it out if not."""

import os
import re
import socket
import threading
import time
from dataclasses import replace

import pytest

from connectors import registry
from console import databases, http
from console.problems import ProblemError
from installations.auth import Token
from installations.models import Installation, Status
from installations.values import resolve
from installations.verification import verify
from tests.stand_ins.databases import (
    DATABASE,
    HOST,
    MARIADB,
    PASSWORD,
    POSTGRESQL,
    USERNAME,
    mariadb,
    postgresql,
)
from tests.stand_ins.quirks import Authority

SERVERS = {"postgresql": (postgresql, POSTGRESQL), "mysql": (mariadb, MARIADB)}


@pytest.fixture(scope="module", params=SERVERS)
def running(request):
    start, programs = SERVERS[request.param]
    if not all(programs.values()):
        pytest.skip(f"needs the server: {', '.join(programs)}")
    with start() as database:
        yield database


@pytest.fixture
def database(running, settings):
    settings.STAND_IN_ORIGINS = {"tcp://*": running.origin}
    return running


def server(running, /, **changes) -> databases.Server:
    given = databases.Server(HOST, 5432, DATABASE, USERNAME, PASSWORD, "verify-full", running.authority)
    return replace(given, **changes)


def problem(running, /, **changes: str) -> ProblemError:
    """What a person meets who enters these values."""
    with pytest.raises(ProblemError) as raised:
        ask(running, **changes)
    return raised.value


def ask(running, /, **changes: str):
    manifest = registry.get(running.protocol).manifest
    entered = {
        "database": DATABASE,
        "username": USERNAME,
        "password": PASSWORD,
        "ssh_tunnel": "false",
        "host": HOST,
        "port": "5432",
        "use_ssl": "true",
        "ssl_mode": "VERIFY_IDENTITY",
        "ssl_certificate": running.authority,
        **changes,
    }
    values = resolve(manifest, "password", {}, entered)
    return verify(manifest, manifest.method("password"), Token(), values)


def test_a_credential_that_is_let_in_is_proven(database):
    assert ask(database).account_id == f"{DATABASE} at {HOST}"


# A database that is not there and one that is not for this user look the same from outside.
NOT_THERE = ("credential_rejected", "permission_missing")


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({"password": "wrong horse"}, ("credential_rejected",)),
        ({"username": "nobody"}, ("credential_rejected",)),
        ({"database": "private"}, ("permission_missing",)),
        # Names that a server or its library could take for more than a name.
        ({"database": f"host=evil.example.com dbname={DATABASE}"}, NOT_THERE),
        ({"database": f"postgresql://evil.example.com/{DATABASE}"}, NOT_THERE),
        ({"username": f"{USERNAME}' sslmode='disable"}, ("credential_rejected",)),
        # The certificate is for another name, or of an authority that nobody knows.
        ({"host": "other.example.com"}, ("provider_unavailable",)),
        ({"ssl_certificate": ""}, ("provider_unavailable",)),
        ({"ssl_certificate": "no certificate at all"}, ("provider_unavailable",)),
    ],
    ids=str,
)
def test_what_keeps_it_out_is_told_apart(database, changes, codes):
    found = problem(database, **changes)
    assert found.code in codes, found.words
    assert PASSWORD not in found.words


def test_a_server_that_is_not_there_is_no_fault_of_the_credential(database, settings):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    settings.STAND_IN_ORIGINS = {"tcp://*": f"http://127.0.0.1:{port}"}
    assert problem(database).code == "provider_unavailable"


@pytest.mark.parametrize("mode", ["disable", "require", "verify-ca"])
def test_less_of_a_check_is_what_somebody_chose(database, mode):
    databases.sign_in(database.protocol, server(database, host="other.example.com", tls=mode))


def test_an_authority_that_did_not_sign_it_is_noticed(database, tmp_path):
    other = Authority(tmp_path).bundle.read_text()
    with pytest.raises(http.Unreachable) as raised:
        databases.sign_in(database.protocol, server(database, tls="verify-ca", authority=other))
    assert raised.value.kind == "tls"


# Of a long message in one protocol and in the other, of a short one, and of what is neither.
BEGINNINGS = [
    b"\xff\xff\x7f\x00",
    b"R\x00\x00\x07\x00",
    b"\x0a\x00\x00\x00\x0a",
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
]


@pytest.mark.parametrize("at_once", BEGINNINGS)
@pytest.mark.parametrize("protocol", SERVERS)
def test_a_server_that_answers_byte_by_byte_does_not_hold_us(protocol, at_once, settings, monkeypatch):
    monkeypatch.setattr(databases, "SECONDS", 2.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=drips, args=(listener, at_once), daemon=True).start()
        settings.STAND_IN_ORIGINS = {"tcp://*": f"http://127.0.0.1:{listener.getsockname()[1]}"}
        started = time.monotonic()
        with pytest.raises(http.Unreachable):
            databases.sign_in(protocol, databases.Server(HOST, 1, "d", "u", "p", "disable"))
        assert time.monotonic() - started < 4


def drips(listener, at_once: bytes) -> None:
    try:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(at_once)
            for _ in range(30):
                connection.sendall(b"\x00")
                time.sleep(0.2)
    except OSError:
        pass


@pytest.mark.parametrize("protocol", SERVERS)
def test_an_address_within_the_network_is_not_signed_in_to(protocol, settings):
    settings.STAND_IN_ORIGINS = {}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(http.Unreachable) as raised:
            databases.sign_in(protocol, databases.Server("localhost", port, "d", "u", "p", "disable"))
        listener.settimeout(0.2)
        with pytest.raises(TimeoutError):
            listener.accept()
    assert raised.value.kind == "address"


def test_nothing_is_looked_up_a_second_time(database, monkeypatch):
    """The name leads nowhere public any more the second time it is asked for."""
    asked = []
    monkeypatch.setattr(http, "stand_in", lambda url: None)
    monkeypatch.setattr(http, "is_public", lambda address: True)
    port = int(database.origin.rpartition(":")[2])

    def look_up(host, *args, **kwargs):
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    databases.sign_in(database.protocol, server(database, port=port))
    # Python's own connect asks for what is an address already.
    assert [host for host in asked if host != "127.0.0.1"] == [HOST]


def test_what_this_machine_keeps_for_itself_takes_no_part(database, monkeypatch, tmp_path):
    passwords = tmp_path / "passwords"
    passwords.write_text(f"*:*:*:*:{PASSWORD}\n".replace("\\", "\\\\").replace("horse:", "horse\\:"))
    passwords.chmod(0o600)
    monkeypatch.setitem(os.environ, "PGPASSFILE", str(passwords))
    monkeypatch.setitem(os.environ, "PGPASSWORD", PASSWORD)
    with pytest.raises((databases.Refused, http.Unreachable)):
        databases.sign_in(database.protocol, server(database, password=""))


def test_a_password_is_in_no_text_of_it():
    assert PASSWORD not in repr(databases.Server(HOST, 1, "d", "u", PASSWORD))


@pytest.mark.django_db
def test_a_customer_is_told_at_the_form_and_mends_it_there(database, owner, account):
    row = Installation.objects.create(partner=owner.partner, account=account, connector=database.protocol)
    base = f"/installations/{row.pk}/setup/"
    owner.client.post(f"{base}review/")
    fields = {
        "database": DATABASE,
        "username": USERNAME,
        "host": HOST,
        "port": "5432",
        "use_ssl": "on",
        "ssl_mode": "VERIFY_IDENTITY",
        "ssl_certificate": database.authority,
    }
    refused = owner.client.post(f"{base}details/", {**fields, "password": "wrong"})
    assert refused.status_code == 422
    assert "does not accept this" in refused.content.decode()
    answered = owner.client.post(f"{base}details/", {**fields, "password": PASSWORD})
    assert answered.headers["Location"].endswith("/done/")
    row.refresh_from_db()
    assert row.status == Status.CONNECTED
    assert not re.search(re.escape(PASSWORD), str(row.values))
