"""What the name of a file says that it is: a picture, whether it can be read or not, or a description."""

from noisegate.data.layouts.words import each_of

# What goes along with data sets and is no picture. Files without a suffix belong to them: LICENSE, README, Makefile.
_DESCRIPTIONS = each_of(
    "bat bib cff cfg cls conf css csv doc docx htm html ini ipynb js json jsonl lock log markdown md "
    "ndjson odt pdf ps1 py r rst rtf sh sql tex text toml tsv txt url xls xlsx xml yaml yml"
)
_PICTURES = each_of(
    "arw avif avifs bmp cr2 cr3 cur dcm dib dng emf eps exr gif hdr heic heics heif heifs hif ico j2c j2k "
    "jfif jp2 jpe jpeg jpf jpg jpx jxl jxr nef orf pbm pcx pgm png pnm ppm psd qoi raf rw2 sgi svg svgz "
    "tga tif tiff wbmp wdp webp wmf xbm xcf xpm"
)


def suffix_of(name: str) -> str:
    """In small letters, without the dot; empty if there is none."""
    stem, _, suffix = name.rpartition("/")[2].rpartition(".")
    return suffix.lower() if stem else ""


def is_picture(name: str) -> bool:
    """Whether it is called as pictures are."""
    return suffix_of(name) in _PICTURES


def is_description(name: str) -> bool:
    """Whether it is called as a text is, or has no suffix."""
    suffix = suffix_of(name)
    return not suffix or suffix in _DESCRIPTIONS


def without_suffix(file: str) -> str:
    """A file's name without the suffix of a picture; other dots stay."""
    return file.rpartition(".")[0] if is_picture(file) else file
