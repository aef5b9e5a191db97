"""The HTTP client and the command `noisegate`."""
