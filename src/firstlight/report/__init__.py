"""Figures and the HTML report. Import its modules by name, because they load matplotlib."""
