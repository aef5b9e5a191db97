"""Archives and built-in sources to packed arrays. Imports inference.decoding, so training and serving see the same pixels."""
