"""The command line: every command is a call into the package."""

# ruff: noqa: F401  (each module adds its commands to the app)
from firstlight.cli import (
    adapt,
    anomalies,
    batch,
    bundle,
    compare,
    convert,
    demo,
    explain,
    files,
    plot,
    rank,
    reclassify,
    replay,
    reproduce,
    serve,
    stream,
    train,
    tune,
    warm,
)
from firstlight.cli.app import app, main, run

__all__ = ["app", "main", "run"]
