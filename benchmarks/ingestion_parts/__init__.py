"""Parts of benchmarks/ingestion.py."""
