"""The paper behind this package, section by section: printed, by its own protocol, and honest."""
