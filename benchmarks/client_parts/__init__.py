"""Clients that others have written, each as its own documentation shows; each file runs alone, in an environment of its own."""
