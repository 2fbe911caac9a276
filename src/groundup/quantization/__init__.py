"""Weights in fewer bits: 8-bit and 4-bit integers, NF4, and how to lose little by them."""
