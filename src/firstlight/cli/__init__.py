"""The command line: every command is a call into the package."""

from firstlight.cli import commands, rank, replay, stream  # noqa: F401  (each module adds its commands to the app)
from firstlight.cli.app import app, main, run

__all__ = ["app", "main", "run"]
