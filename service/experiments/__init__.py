"""Routes and schemas of experiments."""
