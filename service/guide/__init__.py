"""The guide, as `make docs` builds it, at /docs/guide."""

PREFIX = "/docs/guide"
