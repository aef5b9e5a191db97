"""Figures of a results table, from Results to SVG or PNG. Matplotlib's object API only, never pyplot: routes run in threads."""
