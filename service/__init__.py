"""The FastAPI process. Imports the store and inference; never torch."""
