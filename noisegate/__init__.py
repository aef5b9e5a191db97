"""Noisegate, the library: the spec, learning, inference, ingestion and the store. Imports neither FastAPI nor Celery."""

__version__ = "0.1.0"
