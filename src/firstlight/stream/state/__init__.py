"""What the stream remembers of each object between alerts."""
