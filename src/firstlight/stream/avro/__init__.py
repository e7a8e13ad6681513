"""Compiled selective Avro decoder and the container format."""
