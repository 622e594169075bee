"""What stands in a connector's samples/: requests as the provider documents them, and its answers.

Nothing of the product reads them but the test that holds a connector of the library against them. They go out
and come in with a connector's folder. They are not made from the manifest: it would be held against itself.
"""

import re
from pathlib import Path

from django.conf import settings

from connectors.manifest import AuthMethod, Manifest

NAME = re.compile(r"[A-Za-z0-9_-]{1,100}\.(http|json|xml|txt)")
SIZE_LIMIT = 64 * 1024
AT_MOST = 100
_ANSWERS = ("json", "xml", "txt")


def of_library(slug: str) -> dict[str, str]:
    """The texts by the names of their files; those of the folder that the library has its connector from."""
    found: dict[str, str] = {}
    for library in settings.CONNECTOR_LIBRARIES:
        if (library / slug / "manifest.toml").is_file():
            found = of_folder(library / slug)
    return found


def of_folder(folder: Path) -> dict[str, str]:
    paths = sorted((folder / "samples").glob("*"))
    return {path.name: path.read_text(encoding="utf-8") for path in paths if NAME.fullmatch(path.name)}


def missing(manifest: Manifest, names: set[str]) -> list[str]:
    """What the test of the library will ask for and is not among these files, in words."""
    lookups = [f"lookup-{prop.name}.json" for prop in manifest.properties if prop.lookup]
    wanted = [(name,) for name in lookups]
    if manifest.discovery:
        wanted.append(("discovery.json",))
    if manifest.webhook:
        wanted += [("received.http",), ("received.json",)]
    for method in manifest.auth_methods:
        wanted += _wanted(manifest, method)
    lacking = [files for files in dict.fromkeys(wanted) if not names.intersection(files)]
    return [f"samples/{' or '.join(files)}" for files in lacking]


def _wanted(manifest: Manifest, method: AuthMethod) -> list[tuple[str, ...]]:
    """For one way to connect; of several names one is enough."""
    wanted = []
    if manifest.verification_for(method).type == "http":
        stems = (method.key, "verification")
        wanted.append(tuple(f"{stem}.http" for stem in stems))
        wanted.append(tuple(f"{stem}.{kind}" for stem in stems for kind in _ANSWERS))
    if method.is_oauth:
        wanted.append((f"{method.key}-token.http", "token.http"))
    if method.type == "authorization_code":
        wanted.append((f"{method.key}-consent.http", "consent.http"))
    if method.type == "jwt_bearer":
        wanted.append((f"{method.key}-assertion.json", "assertion.json"))
    return wanted
