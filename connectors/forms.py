"""The one generated form: a connector's properties, on the partner's tab and on the customer's page."""

import re
from collections.abc import Iterable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from connectors.manifest import Manifest, Property

VALUE_LIMIT = 4000


class PropertyField(forms.CharField):
    """One property. A secret is write-only: what is stored never comes back as an initial value."""

    def __init__(self, prop: Property, stored: dict | None, **kwargs):
        attrs = {"autocomplete": "off", "spellcheck": "false", "autocapitalize": "none"}
        widget = forms.TextInput(attrs)
        if prop.secret:
            # new-password: a browser's password manager neither fills it in nor offers to keep it.
            widget = forms.PasswordInput({**attrs, "autocomplete": "new-password"}, render_value=False)
        super().__init__(
            label=prop.label, help_text=prop.description, widget=widget, max_length=VALUE_LIMIT, **kwargs
        )
        self.prop = prop
        self.suffix = prop.suffix
        # {"at": …, "by": …} where a secret is stored already.
        self.stored = stored if prop.secret else None

    def clean(self, value: str) -> str:
        value = super().clean(value)
        if value and self.prop.suffix:
            value = value.lower().removeprefix("https://").rstrip("/").removesuffix(self.prop.suffix)
        if value and self.prop.pattern and not re.fullmatch(self.prop.pattern, value):
            raise ValidationError(self.prop.pattern_message)
        return value


class PropertiesForm(forms.Form):
    """Fields for these properties.

    `values` are what is stored, `stored` says since when and by whom. With `everything_optional`
    (the partner's tab) blank is an answer; otherwise what is not stored yet must be entered.
    """

    def __init__(
        self,
        *args,
        properties: Iterable[Property],
        values: dict[str, str] | None = None,
        stored: dict[str, dict] | None = None,
        everything_optional: bool = False,
        **kwargs,
    ):
        self.values, stored = values or {}, stored or {}
        properties = tuple(properties)
        initial = {prop.name: self.values.get(prop.name, "") for prop in properties if not prop.secret}
        super().__init__(*args, initial=initial, **kwargs)
        for prop in properties:
            known = prop.secret and prop.name in stored
            self.fields[prop.name] = PropertyField(
                prop, stored.get(prop.name), required=prop.required and not everything_optional and not known
            )

    def changes(self) -> dict[str, Any]:
        """What to store, None to remove. A secret left blank stays as it is."""
        changes: dict[str, Any] = {}
        for name, field in self.fields.items():
            if not isinstance(field, PropertyField):
                continue
            value = self.cleaned_data[name]
            if value:
                changes[name] = value
            elif not field.prop.secret and name in self.values:
                changes[name] = None
        return changes


class SettingsForm(PropertiesForm):
    """The Settings tab: the properties a partner may store, and what stands under Advanced."""

    def __init__(self, *args, manifest: Manifest, settings, **kwargs):
        super().__init__(
            *args,
            properties=manifest.partner_properties,
            values=settings.values,
            stored=settings.stored,
            everything_optional=True,
            **kwargs,
        )
        if manifest.has_scopes:
            defaults = " ".join(manifest.method("authorization_code").default_scopes)
            self.fields["scopes"] = forms.CharField(
                label="Scopes",
                required=False,
                max_length=VALUE_LIMIT,
                initial=settings.scopes or defaults,
                widget=forms.Textarea({"rows": 3, "spellcheck": "false"}),
                help_text=f"What your application asks for, separated by spaces. Blank: {defaults}",
            )
            self.default_scopes = defaults
        if len(manifest.auth_methods) > 1:
            self.fields["auth_methods"] = forms.MultipleChoiceField(
                label="Ways offered to customers",
                required=False,
                choices=[(method.type, method.label) for method in manifest.auth_methods],
                initial=settings.offered_methods(manifest),
                widget=forms.CheckboxSelectMultiple,
                help_text="None checked: all are offered.",
            )

    def clean_scopes(self) -> str:
        scopes = self.cleaned_data["scopes"].split()
        for scope in scopes:
            # RFC 6749, section 3.3: printable ASCII without space, quote and backslash.
            if not re.fullmatch(r"[\x21\x23-\x5b\x5d-\x7e]+", scope):
                raise ValidationError(
                    f"“{scope[:50]}” is not a scope: quotes, backslashes and accents are not allowed."
                )
        text = " ".join(dict.fromkeys(scopes))
        # The default is not frozen into the row: a later manifest may improve it.
        return "" if text == self.default_scopes else text

    def clean_auth_methods(self) -> list[str]:
        # All of them is no choice: a way that a later manifest adds is offered as well.
        chosen = self.cleaned_data["auth_methods"]
        return [] if len(chosen) == len(self.fields["auth_methods"].choices) else chosen

    def advanced(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in ("scopes", "auth_methods") if name in self.fields}

    @property
    def property_fields(self):
        return [self[name] for name, field in self.fields.items() if isinstance(field, PropertyField)]

    @property
    def advanced_fields(self):
        return [self[name] for name, field in self.fields.items() if not isinstance(field, PropertyField)]
