"""The live page for a night: tonight's objects, each object, the sky, the stream, and an API."""
