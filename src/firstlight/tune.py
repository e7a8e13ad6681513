"""Tune the paper's classifier."""
