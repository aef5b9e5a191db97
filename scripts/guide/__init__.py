"""How the guide is made: docs/ gathered for Sphinx, the OpenAPI document as pages, and how they look."""
