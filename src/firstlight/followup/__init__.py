"""Spectroscopic follow-up: brightness, utility, visibility and a schedule of targets."""
