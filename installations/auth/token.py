"""What an auth method obtains: plain values, no rows."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime

_TIMES = ("expires_at", "refresh_expires_at")


@dataclass(frozen=True)
class Token:
    """A credential: a token response (RFC 6749, section 5.1), or the secrets of the account as `values`.

    Its repr shows no secret.
    """

    access_token: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    token_type: str = "bearer"
    # None: the provider did not say, which is not the same as "all that were asked for".
    granted_scopes: tuple[str, ...] | None = None
    # Counted from before the request was sent; None: unknown.
    expires_at: datetime | None = None
    # When the refresh token ends, where the provider says so.
    refresh_expires_at: datetime | None = None
    # Secrets other than the two tokens, by the names of their properties.
    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    # What else the token response says and the manifest asks for; no secrets.
    extra: Mapping[str, str] = field(default_factory=dict)

    def __reduce__(self):
        # A cache or a queue would keep it in plain.
        raise TypeError("a token is not pickled")

    def to_json(self) -> dict:
        data = asdict(self)
        for name in _TIMES:
            data[name] = data[name] and data[name].isoformat()
        return data

    @classmethod
    def from_json(cls, data: dict) -> "Token":
        scopes = data["granted_scopes"]
        times = {name: datetime.fromisoformat(data[name]) for name in _TIMES if data.get(name)}
        rest = {**data, **dict.fromkeys(_TIMES)}
        return cls(**{**rest, **times, "granted_scopes": None if scopes is None else tuple(scopes)})

    @property
    def placeholders(self) -> dict[str, str]:
        """What the credential itself fills in."""
        tokens = {"access_token": self.access_token} if self.access_token else {}
        return {**self.values, **tokens}

    @property
    def secrets(self) -> tuple[str, ...]:
        return tuple(filter(None, (self.access_token, self.refresh_token, *self.values.values())))
