"""The results of an experiment for other people's tools; each needs an extra of its own."""
