"""SFTP servers are signed in to, with a password and with a key."""

import socket
import threading
import time

import asyncssh
import pytest

from connectors import registry
from console import http, sftp
from console.problems import ProblemError
from installations.auth import Token
from installations.values import resolve
from installations.verification import verify
from tests.stand_ins.sftp import PASSWORD, USERNAME, sftp_server

PASSPHRASE = "open sesame"


@pytest.fixture(scope="module")
def key() -> asyncssh.SSHKey:
    return asyncssh.generate_private_key("ssh-rsa", key_size=2048)


@pytest.fixture
def server(key, settings):
    with sftp_server(key) as port:
        settings.STAND_IN_ORIGINS = {"tcp://*": f"http://127.0.0.1:{port}"}
        yield port


def ask(method: str, **entered: str):
    manifest = registry.get("sftp").manifest
    given = {"host": "sftp.example.com", "port": "22", "username": USERNAME, **entered}
    values = resolve(manifest, method, {}, given)
    return verify(manifest, manifest.method(method), Token(), values)


def problem(method: str, **entered: str) -> ProblemError:
    with pytest.raises(ProblemError) as raised:
        ask(method, **entered)
    return raised.value


def test_a_password_that_is_let_in_is_proven(server):
    assert ask("password", password=PASSWORD).account_id == f"{USERNAME}@sftp.example.com"


@pytest.mark.parametrize("form", ["pkcs1-pem", "pkcs8-pem", "openssh"])
@pytest.mark.parametrize("passphrase", ["", PASSPHRASE])
def test_a_key_that_is_let_in_is_proven_in_each_form_of_it(server, key, form, passphrase):
    text = key.export_private_key(form, passphrase or None).decode()
    assert ask("private_key", private_key=text, passphrase=passphrase).account_id


def test_what_is_not_let_in_is_the_credentials_fault(server, key):
    other = asyncssh.generate_private_key("ssh-rsa", key_size=2048).export_private_key("pkcs1-pem").decode()
    locked = key.export_private_key("pkcs8-pem", PASSPHRASE).decode()
    found = [
        problem("password", password="wrong"),
        problem("password", password=PASSWORD, username="somebody-else"),
        problem("private_key", private_key=other),
        problem("private_key", private_key=locked),
        problem("private_key", private_key=locked, passphrase="wrong"),
        problem(
            "private_key", private_key="-----BEGIN PRIVATE KEY-----\nbm9uZQ==\n-----END PRIVATE KEY-----"
        ),
    ]
    assert [error.code for error in found] == ["credential_rejected"] * len(found)
    assert not any(PASSPHRASE in error.words or PASSWORD in error.words for error in found)


def test_a_server_without_files_lacks_a_permission(key, settings):
    with sftp_server(key, files=False) as port:
        settings.STAND_IN_ORIGINS = {"tcp://*": f"http://127.0.0.1:{port}"}
        assert problem("password", password=PASSWORD).code == "permission_missing"


@pytest.mark.parametrize("greeting", [b"", b"SSH-2.0-slow\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_a_server_that_is_silent_or_another_does_not_hold_us(greeting, settings, monkeypatch):
    monkeypatch.setattr(sftp, "SECONDS", 2.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings.STAND_IN_ORIGINS = {"tcp://*": f"http://127.0.0.1:{listener.getsockname()[1]}"}
        threading.Thread(target=greets, args=(listener, greeting), daemon=True).start()
        started = time.monotonic()
        assert problem("password", password=PASSWORD).code == "provider_unavailable"
        assert time.monotonic() - started < 4


def greets(listener, greeting: bytes) -> None:
    try:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(greeting)
            time.sleep(5)
    except OSError:
        pass


def test_an_address_within_the_network_is_not_signed_in_to(server, settings):
    settings.STAND_IN_ORIGINS = {}
    with pytest.raises(http.Unreachable) as raised:
        sftp.sign_in(sftp.Server("localhost", server, USERNAME, PASSWORD))
    assert raised.value.kind == "address"


def test_the_keys_of_this_machine_take_no_part(server, key, monkeypatch, tmp_path):
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id_rsa").write_bytes(key.export_private_key("openssh"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert problem("password", password="wrong").code == "credential_rejected"
    said = repr(sftp.Server("h", 1, "u", PASSWORD, "the key", PASSPHRASE))
    assert not any(secret in said for secret in (PASSWORD, "the key", PASSPHRASE))
