"""Which image files are read, in the words of every message, page and suffix list that says so."""

IMAGE_KINDS = "PNG, JPEG, WEBP, GIF, BMP, TIFF, AVIF or JPEG 2000"

IMAGE_SUFFIXES = (
    ".avif",
    ".bmp",
    ".dib",
    ".gif",
    ".j2c",
    ".j2k",
    ".jfif",
    ".jp2",
    ".jpc",
    ".jpe",
    ".jpeg",
    ".jpf",
    ".jpg",
    ".jpx",
    ".pjpeg",
    ".png",
    ".tif",
    ".tiff",
    ".webp",
)

# Those of the IANA registry, and what older programs say for BMP.
IMAGE_MEDIA_TYPES = (
    "image/png",
    "image/jpeg",
    "image/webp",
    "image/gif",
    "image/bmp",
    "image/x-ms-bmp",
    "image/tiff",
    "image/avif",
    "image/jp2",
    "image/j2c",
)
