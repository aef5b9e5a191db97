"""What `classify.py` compares Noisegate with, and how it starts, loads and measures a server."""
