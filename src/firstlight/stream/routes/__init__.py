"""Records that pass a filter, to sinks of their own: the tables ``[[route]]`` of the configuration."""
