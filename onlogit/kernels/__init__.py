"""Numba kernels: arrays in, arrays changed in place; they know NumPy only."""
