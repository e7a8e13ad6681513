"""Test equipment: light curves as an alert stream, the demonstration, a local broker."""
