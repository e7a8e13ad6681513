"""Survey packets to `Alert`, the stream's one internal form, and back."""
