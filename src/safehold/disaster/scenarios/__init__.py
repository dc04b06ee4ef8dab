"""Disasters, one a module: its text is the page about what happened then; `SCENARIO` strikes a world in that way."""
