"""State and history of each object between alerts."""
