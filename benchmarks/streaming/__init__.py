"""What the benchmark of the stream is made of."""
