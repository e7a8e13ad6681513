"""Test equipment: light curves replayed as alerts, a local broker, the demo."""
