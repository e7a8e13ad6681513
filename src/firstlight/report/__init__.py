"""Figures and the HTML report. Import its modules by name: they load matplotlib."""
