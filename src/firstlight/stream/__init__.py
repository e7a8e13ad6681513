"""Alerts in and out: one small internal alert, and codecs between it and the surveys' formats."""

from firstlight.stream.alert import Alert, Observations, Skip, SkipReason, light_curves
from firstlight.stream.antares import AntaresCodec
from firstlight.stream.codecs import AlertCodec, ConfluentCodec, ContainerCodec, FinkCodec, Message
from firstlight.stream.json_codecs import JsonLinesCodec, LasairCodec
from firstlight.stream.schemas import FolderSchemas, MemorySchemas, RegistrySchemas, SchemaSource

__all__ = [
    "Alert",
    "AlertCodec",
    "AntaresCodec",
    "ConfluentCodec",
    "ContainerCodec",
    "FinkCodec",
    "FolderSchemas",
    "JsonLinesCodec",
    "LasairCodec",
    "MemorySchemas",
    "Message",
    "Observations",
    "RegistrySchemas",
    "SchemaSource",
    "Skip",
    "SkipReason",
    "light_curves",
]
