"""firstlight: classify astronomical transients from their light curves in real time."""

__version__ = "0.1.0.dev0"
