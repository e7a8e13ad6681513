"""The page of the reproduction: claims, tables, figures, and their rendering."""
