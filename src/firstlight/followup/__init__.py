"""Follow-up: which objects to observe tonight, when and why."""
