"""The one generated form: a connector's properties, on the partner's tab and on the customer's page."""

import json
import re
import zoneinfo
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from connectors.manifest import Manifest, Property, holds

VALUE_LIMIT = 4000
LONG_VALUE_LIMIT = 16_000
_PLAIN = {"autocomplete": "off", "spellcheck": "false", "autocapitalize": "none"}


class PropertyField(forms.CharField):
    """One property. A secret is write-only: what is stored never comes back as an initial value."""

    def __init__(
        self,
        prop: Property,
        stored: dict | None,
        *,
        choices: list[tuple[str, str]] = (),
        optional: bool = False,
        **kwargs,
    ):
        long = prop.type == "multiline"
        super().__init__(
            label=prop.label,
            help_text=prop.description,
            widget=_widget(prop, list(choices), optional),
            max_length=LONG_VALUE_LIMIT if long else VALUE_LIMIT,
            **kwargs,
        )
        self.prop = prop
        self.is_optional = optional
        self.prefix, self.suffix, self.group = prop.prefix, prop.suffix, prop.group
        # {"at": …, "by": …} where a secret is stored already.
        self.stored = stored if prop.is_secret else None

    def clean(self, value: str) -> str:
        if self.prop.type == "boolean":
            return value if value in ("", "false") and self.is_optional else "true" if value else "false"
        # A paste of many lines is normalised before its length is looked at.
        value = super().clean(self.prop.normalised(value or ""))
        if value and (fault := self.prop.fault(value)):
            raise ValidationError(fault)
        return value


class Checkbox(forms.CheckboxInput):
    def __init__(self, attrs=None):
        super().__init__(attrs, check_test=lambda value: value in (True, "true", "on"))

    def format_value(self, value):
        return None


class _SecretLines(forms.Textarea):
    """Nothing that was typed or stored comes back."""

    def format_value(self, value):
        return None


def _widget(prop: Property, choices: list[tuple[str, str]], optional: bool) -> forms.Widget:
    attrs = dict(_PLAIN)
    if prop.placeholder:
        attrs["placeholder"] = prop.placeholder
    if prop.visible_if:
        attrs["data-visible-if"] = json.dumps(prop.visible_if)
    if prop.type == "boolean" and optional:
        return forms.Select(attrs, choices=[("", "Ask each time"), ("true", "Yes"), ("false", "No")])
    if prop.type == "boolean":
        return Checkbox({key: value for key, value in attrs.items() if key.startswith("data-")})
    if prop.type in ("choice", "lookup"):
        options = choices or [(choice.value, choice.label) for choice in prop.choices]
        blank = [("", "Ask each time" if optional else "Choose…" if prop.required else "None")]
        if prop.default and prop.required and not optional:
            blank = []
        return forms.Select(attrs, choices=[*blank, *options])
    if prop.format == "timezone":
        zones = sorted(zoneinfo.available_timezones())
        named = [(zone, zone.replace("_", " ")) for zone in zones]
        return forms.Select(attrs, choices=[("", "Choose…"), *named])
    if prop.type == "multiline":
        # A field that hides what is typed has one line only.
        area = _SecretLines if prop.is_secret else forms.Textarea
        return area({**attrs, "rows": 6, "class": "monospaced"})
    if prop.is_secret:
        # new-password: a browser's password manager neither fills it in nor offers to keep it.
        return forms.PasswordInput({**attrs, "autocomplete": "new-password"}, render_value=False)
    if prop.format in ("integer", "port"):
        attrs["inputmode"] = "numeric"
    return forms.TextInput(attrs)


class PropertiesForm(forms.Form):
    """Fields for these properties.

    `values` are what is stored, `stored` says since when and by whom, `choices` are the lists of look-ups,
    and `known` the values that conditions may ask for besides. With `everything_optional` (the partner's
    tab) blank is an answer; otherwise what is not stored yet must be entered.
    """

    def __init__(
        self,
        *args,
        properties: Iterable[Property],
        values: dict[str, str] | None = None,
        stored: dict[str, dict] | None = None,
        choices: dict[str, list[tuple[str, str]]] | None = None,
        known: dict[str, str] | None = None,
        everything_optional: bool = False,
        **kwargs,
    ):
        self.values, self.known, stored = values or {}, known or {}, stored or {}
        self.everything_optional = everything_optional
        properties = tuple(properties)
        initial = {
            prop.name: self.values.get(prop.name, "" if everything_optional else prop.default)
            for prop in properties
            if not prop.is_secret
        }
        super().__init__(*args, initial=initial, **kwargs)
        self._kept = {prop.name for prop in properties if prop.is_secret and prop.name in stored}
        for prop in properties:
            depends = prop.visible_if or prop.required_if or prop.type == "boolean"
            self.fields[prop.name] = PropertyField(
                prop,
                stored.get(prop.name),
                choices=(choices or {}).get(prop.name, ()),
                optional=everything_optional,
                required=not (everything_optional or depends or not prop.required or prop.name in self._kept),
            )

    def clean(self) -> dict[str, Any]:
        """What a condition hides is neither wrong nor kept; what it demands must be there."""
        cleaned = super().clean()
        for name, field in self.fields.items():
            if not isinstance(field, PropertyField):
                continue
            prop, facts = field.prop, {**self.known, **cleaned}
            if not holds(prop.visible_if, facts):
                self.errors.pop(name, None)
                cleaned[name] = ""
            elif name in self.errors or cleaned.get(name) or name in self._kept or self.everything_optional:
                continue
            elif (prop.required_if and holds(prop.required_if, facts)) or (
                prop.required and prop.visible_if and prop.type != "boolean"
            ):
                self.add_error(name, ValidationError("This field is required.", code="required"))
        return cleaned

    def changes(self) -> dict[str, Any]:
        """What to store, None to remove. A secret left blank stays as it is, unless a condition hides it."""
        changes: dict[str, Any] = {}
        for name, field in self.fields.items():
            if not isinstance(field, PropertyField):
                continue
            value = self.cleaned_data[name]
            hidden = not holds(field.prop.visible_if, {**self.known, **self.cleaned_data})
            if value:
                changes[name] = value
            elif name in self.values and (hidden or not field.prop.is_secret):
                changes[name] = None
        return changes


class SettingsForm(PropertiesForm):
    """The Settings tab: the properties a partner may store, and what stands under Advanced."""

    # How many days the OAuth client that is replaced counts on.
    OVERLAPS = [("7", "7 days"), ("1", "1 day"), ("30", "30 days"), ("0", "Not at all")]
    ABOUT_THE_SECRET = ("overlap_days", "counts_until")

    def __init__(self, *args, manifest: Manifest, settings, **kwargs):
        super().__init__(
            *args,
            properties=manifest.partner_properties,
            values=settings.values,
            stored=settings.stored,
            everything_optional=True,
            **kwargs,
        )
        self.client = manifest.client_properties
        if any(manifest.property_named(name).is_secret for name in self.client):
            self._add_secret_fields(settings)
        self.scoped = manifest.scoped_method
        if self.scoped:
            self.default_scopes = self.scoped.scope_separator.join(self.scoped.default_scopes)
            between = "commas" if self.scoped.scope_separator == "," else "spaces"
            self.fields["scopes"] = forms.CharField(
                label="Scopes",
                required=False,
                max_length=VALUE_LIMIT,
                initial=settings.scopes or self.default_scopes,
                widget=forms.Textarea({"rows": 3, "spellcheck": "false"}),
                help_text=f"What your application asks for, with {between} between. Blank: "
                f"{self.default_scopes}",
            )
        if len(manifest.auth_methods) > 1:
            self.fields["auth_methods"] = forms.MultipleChoiceField(
                label="Ways offered to customers",
                required=False,
                choices=[(method.key, method.label) for method in manifest.auth_methods],
                initial=settings.offered_methods(manifest),
                widget=forms.CheckboxSelectMultiple,
                help_text="None checked: all are offered.",
            )

    def _add_secret_fields(self, settings) -> None:
        self.expires_on = settings.secret_expires_on
        self.fields["counts_until"] = forms.DateField(
            label="The secret counts until",
            required=False,
            initial=self.expires_on,
            widget=forms.DateInput({"type": "date"}, format="%Y-%m-%d"),
            help_text="Some applications end a client secret on a certain day, which their own page for "
            "developers shows. Enter that day and we tell you ahead. Blank: it does not end.",
        )
        if self.client & settings.stored.keys():
            self.fields["overlap_days"] = forms.ChoiceField(
                label="When you replace the Client ID or secret, what is stored now counts on for",
                required=False,
                choices=self.OVERLAPS,
                initial="7",
                help_text="So that nothing stops while the application does not know the new one yet, or "
                "while customers authorise a new Client ID. Choose “Not at all” where it has leaked.",
            )

    def clean_counts_until(self) -> date | None:
        entered = self.cleaned_data["counts_until"]
        if entered and entered != self.expires_on and entered < date.today():
            raise ValidationError("This day is past.")
        return entered

    def clean(self) -> dict[str, Any]:
        """The day on which the secret before ends says nothing of the new one."""
        cleaned = super().clean()
        if cleaned.get("counts_until") and cleaned["counts_until"] == self.expires_on:
            entered = (name for name in self.client if cleaned.get(name) and self.fields[name].prop.is_secret)
            if any(cleaned[name] != self.values.get(name) for name in entered if name in self.values):
                cleaned["counts_until"] = None
        return cleaned

    @property
    def overlap(self) -> timedelta:
        return timedelta(days=int(self.cleaned_data.get("overlap_days") or 7))

    def clean_scopes(self) -> str:
        scopes = self.cleaned_data["scopes"].replace(",", " ").split()
        for scope in scopes:
            # RFC 6749, section 3.3: printable ASCII without space, quote and backslash.
            if not re.fullmatch(r"[\x21\x23-\x5b\x5d-\x7e]+", scope):
                raise ValidationError(
                    f"“{scope[:50]}” is not a scope: quotes, backslashes and accents are not allowed."
                )
        text = " ".join(dict.fromkeys(scopes))
        # The default is not frozen into the row: a later manifest may improve it.
        return "" if text == " ".join(self.scoped.default_scopes) else text

    def clean_auth_methods(self) -> list[str]:
        # All of them is no choice: a way that a later manifest adds is offered as well.
        chosen = self.cleaned_data["auth_methods"]
        return [] if len(chosen) == len(self.fields["auth_methods"].choices) else chosen

    def advanced(self) -> dict[str, Any]:
        columns = {
            "scopes": "scopes",
            "auth_methods": "auth_methods",
            "counts_until": "secret_expires_on",
        }
        return {columns[name]: self.cleaned_data[name] for name in columns if name in self.fields}

    @property
    def property_fields(self):
        return [self[name] for name, field in self.fields.items() if isinstance(field, PropertyField)]

    @property
    def secret_fields(self):
        return [self[name] for name in self.ABOUT_THE_SECRET if name in self.fields]

    @property
    def advanced_fields(self):
        mine = (name for name, field in self.fields.items() if not isinstance(field, PropertyField))
        return [self[name] for name in mine if name not in self.ABOUT_THE_SECRET]
