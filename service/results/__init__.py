"""Routes and schemas of results."""
