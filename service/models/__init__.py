"""Routes and schemas of models."""
