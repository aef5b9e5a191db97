"""Routes and schemas of backbones."""
