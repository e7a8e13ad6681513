"""The paper behind this package, by section: as published, by its protocol, and split by object."""
