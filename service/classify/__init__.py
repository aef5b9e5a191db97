"""Routes and schemas of classify."""
