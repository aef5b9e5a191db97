"""The one name that no class of a data set may have."""

# What noise images are trained as.
NOISE_CLASS = "noise"
