"""How glibc keeps memory while a network is trained on a CPU."""

import ctypes

# Numbers of glibc's malloc.h, and what they are set to. Freed memory is kept up to 1 GiB instead of 64 MiB at most, so that the
# next step finds its activations' pages where the last one left them, instead of having the kernel clear them anew. Arrays from
# 32 MiB up, the most that glibc takes here, are mapped by themselves and go back at once: datasets are among those.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_SETTINGS = {_TRIM_THRESHOLD: 2**30, _TOP_PAD: 2**26, _MMAP_THRESHOLD: 2**25}


def keep_freed_memory() -> bool:
    """For this process, from now on. Returns whether the C library is glibc and took all settings; others are left as they are.

    Networks whose activations take tens of MiB a step spend less of their time in the kernel; for small ones it makes no
    difference.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    return all(library.mallopt(name, value) == 1 for name, value in _SETTINGS.items())
