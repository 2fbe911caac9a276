"""Tuning a trained model: data, adapters, and the losses that it is tuned by."""
