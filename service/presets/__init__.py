"""Routes and schemas of presets."""
