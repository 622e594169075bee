"""What a partner enters to make a connector of its own."""

import json
import re
from urllib.parse import urlsplit

from django import forms
from django.core.exceptions import ValidationError

from connectors.authoring import documents
from connectors.authoring.sketch import Sketch, key_for, literally
from connectors.manifest.vocabulary import Category
from connectors.registry import CUSTOM, category_name

CATEGORIES = [("", "Choose…")] + [(value, category_name(value)) for value in Category.__args__]
_PLAIN = {"autocomplete": "off", "spellcheck": "false", "autocapitalize": "none"}
_CODE = {"spellcheck": "false", "class": "monospaced", "wrap": "off"}


def check_https(value: str) -> None:
    if not value.startswith("https://"):
        raise ValidationError("An address that begins with https://, such as https://api.example.com/v1")
    if found := re.search(r"[\s#@$\\]", value):
        raise ValidationError(f"An address without “{found[0]}” in it.")
    try:
        known = urlsplit(value)
        known.port  # noqa: B018 - raises where it is no number
    except ValueError as error:
        raise ValidationError(f"This is no address: {error}.") from error
    if not re.fullmatch(r"[^\W_]([\w.-]*[^\W_])?", known.hostname or ""):
        raise ValidationError("A host name stands behind https://, such as api.example.com")


def check_plain(value: str) -> None:
    if "?" in value:
        raise ValidationError("An address without a question mark and what stands behind it.")


class HttpsField(forms.CharField):
    def __init__(self, *, query: bool = False, **kwargs):
        attrs = {**_PLAIN, "inputmode": "url", "placeholder": kwargs.pop("placeholder", "https://")}
        widget = forms.TextInput(attrs)
        validators = [check_https] if query else [check_https, check_plain]
        super().__init__(max_length=500, widget=widget, validators=validators, **kwargs)


class KeyForm(forms.Form):
    """The name by which a connector is known to programs."""

    key = forms.CharField(
        required=False,
        max_length=50,
        widget=forms.TextInput(_PLAIN),
        help_text="For your programs: letters, digits, hyphens. Blank: made of the name. It never changes.",
    )

    def clean_key(self) -> str:
        key = self.cleaned_data["key"].strip().lower().removeprefix(CUSTOM)
        if key and not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", key):
            raise ValidationError("Letters and digits, with single hyphens between them.")
        return key

    def key_of(self, name: str) -> str:
        return self.cleaned_data["key"] or key_for(name) or "connector"


class BlankForm(KeyForm):
    """The few things that every connector says."""

    WAYS = [
        ("header", "An API key in a header"),
        ("query", "An API key in the query"),
        ("http_basic", "User name and password"),
        ("authorization_code", "OAuth: the customer signs in and allows access"),
        ("client_credentials", "OAuth: client credentials, without a browser"),
    ]

    name = forms.CharField(max_length=60, label="Name", help_text="As your customers know the application.")
    summary = forms.CharField(max_length=200, help_text="What the application is, in one sentence.")
    category = forms.ChoiceField(choices=CATEGORIES)
    source = HttpsField(
        label="Documentation",
        help_text="The provider's own page that describes its API.",
        query=True,
        placeholder="https://developers.example.com/api",
    )
    base_url = HttpsField(
        label="API address",
        help_text="Where the API begins. What differs for each customer can be put in later.",
        placeholder="https://api.example.com/v1",
    )
    verification_url = HttpsField(
        label="Call that tests a credential",
        query=True,
        help_text="It answers only to a good credential; best is the one that says whose it is.",
        placeholder="https://api.example.com/v1/me",
    )
    account_id = forms.CharField(
        required=False,
        max_length=100,
        label="Account's id in the answer",
        help_text="Where the answer names the account, such as id or account.id. Blank: it does not.",
        widget=forms.TextInput(_PLAIN),
    )
    way = forms.ChoiceField(choices=WAYS, label="How your customers connect", initial="header")
    parameter = forms.CharField(
        required=False,
        max_length=100,
        label="Name of the header or parameter",
        help_text="For an API key: where it goes.",
        widget=forms.TextInput({**_PLAIN, "placeholder": "Authorization"}),
    )
    before = forms.CharField(
        required=False,
        max_length=50,
        strip=False,
        label="What stands before the key",
        help_text="For an API key in a header; with its space at the end, as in “Bearer ”. Blank: nothing.",
        widget=forms.TextInput({**_PLAIN, "placeholder": "Bearer "}),
    )
    authorization_endpoint = HttpsField(
        required=False,
        label="Authorization endpoint",
        help_text="For OAuth: the page on which the customer allows access.",
    )
    token_endpoint = HttpsField(
        required=False, label="Token endpoint", help_text="For OAuth: where your client asks for a token."
    )
    scopes = forms.CharField(
        required=False,
        max_length=500,
        help_text="For OAuth, with spaces between them.",
        widget=forms.TextInput(_PLAIN),
    )
    # Which ways need which of the fields.
    APPLIES = {
        "parameter": ("header", "query"),
        "before": ("header",),
        "authorization_endpoint": ("authorization_code",),
        "token_endpoint": ("authorization_code", "client_credentials"),
        "scopes": ("authorization_code", "client_credentials"),
    }
    field_order = [
        "name", "key", "summary", "category", "source", "base_url",
        "way", "parameter", "before", "authorization_endpoint", "token_endpoint", "scopes",
        "verification_url", "account_id",
    ]  # fmt: skip

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for name, ways in self.APPLIES.items():
            self.fields[name].widget.attrs["data-visible-if"] = json.dumps({"way": ways})

    def clean_parameter(self) -> str:
        name = self.cleaned_data["parameter"].strip()
        if name and not re.fullmatch(r"[A-Za-z0-9!#%&'*+.^_`|~-]+", name):
            raise ValidationError("A name without spaces, such as X-Api-Key.")
        return name

    def clean_scopes(self) -> list[str]:
        return self.cleaned_data["scopes"].split()

    def clean(self):
        cleaned = super().clean()
        way = cleaned.get("way")
        for name in ("parameter", "authorization_endpoint", "token_endpoint"):
            if way in self.APPLIES[name] and not cleaned.get(name) and name not in self.errors:
                self.add_error(name, "This field is required.")
        return cleaned

    def sketch(self) -> Sketch:
        said = self.cleaned_data
        out = Sketch(
            said["name"],
            said["summary"],
            "",
            [said["source"]],
            [said["category"]],
            said["base_url"].rstrip("/"),
        )
        oauth = {"token_endpoint": said["token_endpoint"], "default_scopes": said["scopes"]}
        if said["way"] == "header":
            out.api_key(("headers", said["parameter"], said["before"]))
        elif said["way"] == "query":
            out.api_key(("query", said["parameter"], ""))
        elif said["way"] == "http_basic":
            out.http_basic()
        elif said["way"] == "authorization_code":
            out.authorization_code(authorization_endpoint=said["authorization_endpoint"], **oauth)
        else:
            out.client_credentials(**oauth)
        out.verification = {"url": said["verification_url"]}
        if said["account_id"]:
            out.verification["account_id"] = literally(said["account_id"])
        return out


class DefinitionForm(forms.Form):
    """The texts of a connector, as they stand in its folder."""

    manifest = forms.CharField(
        label="manifest.toml", strip=False, widget=forms.Textarea({**_CODE, "rows": 28}), max_length=262_144
    )
    guide = forms.CharField(
        label="guide.md", strip=False, widget=forms.Textarea({**_CODE, "rows": 16}), max_length=262_144
    )
    logo = forms.FileField(
        required=False,
        label="logo.svg",
        help_text="A small SVG, drawn and nothing else. Without one the initials are drawn.",
        widget=forms.FileInput({"accept": ".svg,image/svg+xml"}),
    )


class ManifestForm(KeyForm, DefinitionForm):
    field_order = ["key", "manifest", "guide", "logo"]


class FolderForm(KeyForm):
    archive = forms.FileField(
        label="Folder, as a ZIP archive",
        help_text="With manifest.toml and guide.md in it, and logo.svg if there is one.",
        widget=forms.FileInput({"accept": ".zip,application/zip"}),
    )
    field_order = ["archive", "key"]


class OpenApiForm(KeyForm):
    file = forms.FileField(
        required=False,
        label="Document",
        help_text="OpenAPI 2.0, 3.0 or 3.1, as JSON or YAML.",
        widget=forms.FileInput({"accept": ".json,.yaml,.yml,application/json,application/yaml"}),
    )
    url = HttpsField(
        required=False,
        query=True,
        label="Or its address",
        placeholder="https://api.example.com/openapi.json",
    )
    base_url = HttpsField(
        required=False, label="API address", help_text="Only if the document does not say where the API is."
    )
    category = forms.ChoiceField(choices=CATEGORIES)
    field_order = ["file", "url", "base_url", "category", "key"]

    def clean(self):
        cleaned = super().clean()
        if not self.errors and bool(cleaned.get("file")) == bool(cleaned.get("url")):
            raise ValidationError("Choose a file or enter an address: one of them.")
        return cleaned

    def content(self) -> dict:
        """Raises BadDocument."""
        file = self.cleaned_data["file"]
        return documents.parse(read_file(file) if file else documents.fetch(self.cleaned_data["url"]))


class MetadataForm(KeyForm):
    name = forms.CharField(max_length=60, label="Name", help_text="As your customers know the application.")
    issuer = HttpsField(
        label="Issuer",
        help_text="The authorization server's address, or that of its metadata below /.well-known/.",
        placeholder="https://login.example.com",
    )
    base_url = HttpsField(label="API address", placeholder="https://api.example.com/v1")
    category = forms.ChoiceField(choices=CATEGORIES)
    field_order = ["name", "issuer", "base_url", "category", "key"]


class PublishForm(forms.Form):
    version = forms.RegexField(
        r"^(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})$",
        label="Version",
        error_messages={"invalid": "Two numbers with a dot between them, such as 1.2."},
        widget=forms.TextInput({**_PLAIN, "class": "short"}),
    )


def read_file(file) -> bytes:
    """What was uploaded, and one byte more than is allowed at most: no more of it is ever in memory."""
    return file.read(documents.SIZE_LIMIT + 1)
