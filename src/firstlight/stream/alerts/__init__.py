"""Alerts of all formats, as one internal type."""
