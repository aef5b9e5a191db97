"""Routes and schemas of noise: a sheet of noise images, to look at."""
