"""A connector as a folder, in a ZIP archive: the same form in which the library keeps its own."""

import io
import stat
import zipfile
import zlib

from connectors import guide, logo, samples
from connectors.authoring.documents import BadDocument
from connectors.manifest.loading import SIZE_LIMIT
from connectors.registry import CUSTOM, Connector, Files

_LIMITS = {"manifest.toml": SIZE_LIMIT, "guide.md": guide.SIZE_LIMIT, "logo.svg": logo.SIZE_LIMIT}
ARCHIVE_LIMIT = 2 * 1024 * 1024
MEMBERS_LIMIT = 1000
# Others reserve the memory that an archive asks for.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What zipfile raises for bytes that are damaged, or were made up: ValueError covers names and offsets.
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    OSError,
    ValueError,
)


def pack(connector: Connector, texts: dict[str, str]) -> bytes:
    """The folder as an archive, `texts` in its samples/. A logo that was drawn here is left out."""
    key = connector.slug.removeprefix(CUSTOM)
    contents = {
        "manifest.toml": connector.files.manifest.encode(),
        "guide.md": connector.files.guide.encode(),
    }
    if connector.files.logo != logo.monogram(connector.slug, connector.name):
        contents["logo.svg"] = connector.files.logo
    contents |= {f"samples/{name}": text.encode() for name, text in sorted(texts.items())}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in contents.items():
            # The same folder is the same archive, whenever it is packed.
            archive.writestr(zipfile.ZipInfo(f"{key}/{name}"), data, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def unpack(data: bytes) -> tuple[str, Files, dict[str, str]]:
    """The folder's name ("" if the files lie at the top), the files, and the samples. Raises BadDocument.

    Names serve to find the files; nothing is written anywhere.
    """
    if len(data) > ARCHIVE_LIMIT:
        raise BadDocument(f"The archive is too large: at most {ARCHIVE_LIMIT:,} bytes are read.")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _read(archive)
    except _UNREADABLE as error:
        raise BadDocument(f"This is no ZIP archive that can be read: {error}.") from error


def _read(archive: zipfile.ZipFile) -> tuple[str, Files, dict[str, str]]:
    members = archive.infolist()
    if len(members) > MEMBERS_LIMIT:
        raise BadDocument(f"The archive has {len(members):,} files; a connector has three, and samples.")
    manifests = [member.filename for member in members if member.filename.split("/")[-1] == "manifest.toml"]
    if len(manifests) != 1:
        found = "holds no manifest.toml" if not manifests else "holds more than one manifest.toml"
        raise BadDocument(f"The archive {found}. Pack the folder of one connector.")
    folder = manifests[0].removesuffix("manifest.toml")
    found = {name: _member(archive, folder + name, limit) for name, limit in _LIMITS.items()}
    if found["guide.md"] is None:
        raise BadDocument("The archive holds no guide.md beside its manifest.toml.")
    texts = {name: _text(name, found[name]) for name in ("manifest.toml", "guide.md")}
    key = folder.rstrip("/").rpartition("/")[2]
    files = Files(texts["manifest.toml"], texts["guide.md"], found["logo.svg"] or b"")
    return key, files, _samples(archive, folder + "samples/")


def _samples(archive: zipfile.ZipFile, folder: str) -> dict[str, str]:
    names = [
        name.removeprefix(folder)
        for name in dict.fromkeys(archive.namelist())
        if name.startswith(folder) and samples.NAME.fullmatch(name.removeprefix(folder))
    ]
    if len(names) > samples.AT_MOST:
        raise BadDocument(f"The archive has {len(names)} samples; a connector has at most {samples.AT_MOST}.")
    found = {}
    for name in sorted(names):
        text = _text(f"samples/{name}", _member(archive, folder + name, samples.SIZE_LIMIT) or b"")
        if "\0" in text:
            raise BadDocument(f"samples/{name} has a character that no text has.")
        found[name] = text
    return found


def _text(name: str, data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadDocument(f"{name}: byte {error.start} is not UTF-8.") from error


def _member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes | None:
    try:
        found = archive.getinfo(name)
        if found.compress_type not in _METHODS:
            raise BadDocument(f"{name} is packed in an unusual way. Pack the folder as a plain ZIP archive.")
        if stat.S_ISLNK(found.external_attr >> 16):
            raise BadDocument(f"{name} is a link to another file. Pack the file itself.")
        with archive.open(found) as member:
            # What an archive says of its sizes is not believed.
            data = member.read(limit + 1)
    except KeyError:
        return None
    if len(data) > limit:
        raise BadDocument(f"{name} has more than {limit:,} bytes.")
    return data
