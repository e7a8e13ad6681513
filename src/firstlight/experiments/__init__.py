"""Experiments under the honest protocol: cross-validation, hold-out, tuning."""
