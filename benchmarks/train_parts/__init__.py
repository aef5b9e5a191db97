"""What the benchmarks of training share, and the sections of the one for a GPU."""
