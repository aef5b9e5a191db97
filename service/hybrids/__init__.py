"""Routes and schemas of hybrids."""
