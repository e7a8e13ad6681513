"""Records of the stream: built, encoded, read back, and ranked as targets."""
