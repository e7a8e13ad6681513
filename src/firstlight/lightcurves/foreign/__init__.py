"""Foreign tables to `LightCurves`: one rule each for names, units, times, flags and ids."""
