"""Avro containers, and a compiled decoder that reads only the needed fields (decision 0050)."""
