"""The typed definition of a connector, and how it is read."""

from connectors.manifest.auth_methods import AuthMethod
from connectors.manifest.definition import Manifest
from connectors.manifest.loading import BadManifest, json_schema, load, parse
from connectors.manifest.properties import Property
from connectors.manifest.vocabulary import holds

__all__ = ["AuthMethod", "BadManifest", "Manifest", "Property", "holds", "json_schema", "load", "parse"]
