"""Routes and schemas of workers."""
