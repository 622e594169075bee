from connectors.models.custom import CustomConnector, Publication
from connectors.models.release import Release
from connectors.models.settings import ConnectorSettings, StoredValues, completeness, redirect_uri

__all__ = [
    "ConnectorSettings",
    "CustomConnector",
    "Publication",
    "Release",
    "StoredValues",
    "completeness",
    "redirect_uri",
]
