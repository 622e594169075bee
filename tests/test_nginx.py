"""The nginx of the README, with the product behind it."""

import os
import re
import shutil
import subprocess
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tests.product import full
from tests.proxying import proxying
from tests.stand_ins.process import ROOT, free_port, running
from tests.test_proxy_streams import CONNECT, MB, digest, pieces

pytestmark = pytest.mark.skipif(
    not shutil.which("nginx") and os.environ.get("CI") != "true", reason="apt install nginx"
)
HOST = "console.example.com"


def written() -> str:
    """Its part of the README."""
    (text,) = re.findall(r"```nginx\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
    return text


@contextmanager
def nginx(folder: Path, behind: int):
    """The port on which it answers. Of what the README says only places are changed."""
    port = free_port()
    pem, key = folder / "console.pem", folder / "console.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-keyout", key, "-out", pem, "-days", "2", "-subj", f"/CN={HOST}"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    said = written()
    for here, there in {
        "/etc/ssl/console.pem": pem,
        "/etc/ssl/console.key": key,
        "/var/log/nginx/console.log": folder / "access.log",
        "127.0.0.1:8000": f"127.0.0.1:{behind}",
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
    }.items():
        assert here in said, here
        said = said.replace(here, str(there))
    paths = "".join(f"{kind}_temp_path {folder / kind};" for kind in TEMPORARY)
    # Whoever starts it as root: its workers write into this folder too.
    user = "" if os.geteuid() else "user root;"
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"{user} pid {folder / 'nginx.pid'}; worker_processes 1; events {{}} http {{ {paths}\n{said}\n}}"
    )
    command = ["nginx", "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(configuration)]
    subprocess.run([*command, "-t", "-q"], check=True)
    process = subprocess.Popen([*command, "-g", "daemon off;"], stdin=subprocess.DEVNULL)
    try:
        yield port
    finally:
        process.terminate()
        process.wait(10)


TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@dataclass(frozen=True)
class Behind:
    """The console as a browser meets it, by the name of the README."""

    port: int
    folder: Path
    proxy: str
    key: dict[str, str]

    def ask(self, path: str, method: str = "GET", *, headers=None, **more) -> requests.Response:
        return requests.request(
            method,
            f"https://127.0.0.1:{self.port}{path}",
            headers={"Host": HOST, **(headers or {})},
            verify=self.folder / "console.pem",
            allow_redirects=False,
            timeout=120,
            **more,
        )

    def log(self) -> str:
        return (self.folder / "access.log").read_text()


@pytest.fixture(scope="module")
def behind(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nginx")
    changes = {
        "BASE_URL": f"https://{HOST}",
        "ALLOWED_HOSTS": f"{HOST},127.0.0.1",
        "BEHIND_PROXY": "1",
        "TRUSTED_PROXIES": "1",
    }
    with (
        running("tests.stand_ins.passing") as provider,
        proxying(folder, provider.origin, **changes) as made,
        nginx(folder, int(made.origin.rpartition(":")[2])) as port,
    ):
        key, installation = made.shell(CONNECT).split()
        yield Behind(
            port, folder, f"/api/v1/installations/{installation}/proxy/", {"Authorization": f"Bearer {key}"}
        )


def post_a_form(behind: Behind, **files: bytes) -> requests.Response:
    """Somebody whom the console does not know signs in; files that the form does not ask for come along."""
    page = behind.ask("/sign-in/")
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text).group(1)
    # What comes from another scheme or name than the page's own is refused.
    headers = {"Referer": f"https://{HOST}/sign-in/", "Cookie": f"csrf={page.cookies['csrf']}"}
    form = {"csrfmiddlewaretoken": token, "username": "nobody@example.com", "password": "wrong"}
    return behind.ask("/sign-in/", "POST", headers=headers, data=form, files=files)


def test_pages_know_that_they_are_asked_by_https_and_under_their_name(behind):
    assert post_a_form(behind).status_code == 200


@pytest.mark.parametrize("framing", ["its length", "chunks"])
def test_a_large_body_passes_to_a_provider_as_it_comes(behind, framing):
    size = full(30, 200) * MB
    body = pieces(size) if framing == "chunks" else b"".join(pieces(size))
    answer = behind.ask(f"{behind.proxy}upload", "POST", headers=behind.key, data=body)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["bytes"], answer.json()["sha256"]) == (size, digest(size))
    # nginx keeps no copy: it would write what is longer than a few kilobytes.
    assert not [file for kind in ("client_body", "proxy") for file in (behind.folder / kind).rglob("*")]


def test_a_large_answer_passes_from_a_provider(behind):
    size = full(30, 200) * MB
    with closing(behind.ask(f"{behind.proxy}bytes/{size}", headers=behind.key, stream=True)) as answer:
        assert answer.status_code == 200
        assert sum(len(piece) for piece in answer.iter_content(MB)) == size


def test_a_document_of_five_megabytes_reaches_the_console(behind):
    assert [post_a_form(behind, file=b"x" * (size * MB)).status_code for size in (5, 50)] == [200, 413]


def test_metrics_are_not_for_everybody(behind):
    assert behind.ask("/metrics").status_code == 404


def test_what_must_not_be_logged_is_not(behind):
    """Setup links, the addresses of webhooks, and authorization codes."""
    for path in (
        "/s/secret-of-a-link/",
        "/hooks/secret-of-a-hook/",
        "/oauth/callback/x/?code=secret-of-a-code",
    ):
        behind.ask(path)
    behind.ask("/hooks/secret-of-a-hook/", "POST", data=b"x" * (7 * MB))
    logged = "".join(file.read_text() for file in behind.folder.glob("*.log"))
    assert logged.count("\n") >= 4
    assert "secret-of" not in logged
