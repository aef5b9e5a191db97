"""Arrays in, arrays and numbers out: noise, training, metrics, calibration, export. No SQL; no HTTP and no files but in
pretrained.py, which fetches one network that others have trained when it is asked for by name."""
