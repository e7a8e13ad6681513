"""Parts of the stream's benchmark."""
