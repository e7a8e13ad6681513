"""The parts of the reproduction, in the order of the paper."""
