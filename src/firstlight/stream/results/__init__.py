"""Result records: written, read, ranked."""
