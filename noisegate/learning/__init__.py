"""Arrays in, arrays and numbers out: noise, training, metrics, calibration, export. No SQL, no HTTP, no files."""
