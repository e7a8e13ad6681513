"""The command line: every command is a call into the package."""

# each module adds its commands to the app
from firstlight.cli import bundle, convert, demo, files, plot, rank, replay, reproduce, stream, train, tune  # noqa: F401
from firstlight.cli.app import app, main, run

__all__ = ["app", "main", "run"]
