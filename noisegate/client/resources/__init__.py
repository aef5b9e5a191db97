"""The namespaces of the client: one module for each collection of the API."""
