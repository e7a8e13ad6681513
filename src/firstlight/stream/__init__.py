"""Alerts of surveys and their brokers: the internal alert, and codecs for each format."""

from typing import Any

from firstlight.stream.alerts.alert import Alert, Observations, Skip, SkipReason, light_curves
from firstlight.stream.alerts.antares import AntaresCodec
from firstlight.stream.alerts.avro import AlertCodec, ConfluentCodec, ContainerCodec, FinkCodec
from firstlight.stream.alerts.json import JsonLinesCodec, LasairCodec
from firstlight.stream.alerts.schemas import FolderSchemas, MemorySchemas, RegistrySchemas, SchemaSource
from firstlight.stream.io.message import Message

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
    "classify_packet",
    "classify_packets",
    "light_curves",
]


def __getattr__(name: str) -> Any:
    """Import the pipeline only for those who classify."""
    if name in ("classify_packet", "classify_packets"):
        from firstlight.stream import embed

        return getattr(embed, name)
    raise AttributeError(f"module 'firstlight.stream' has no attribute {name!r}")
