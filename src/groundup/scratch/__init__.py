"""A neural network without frameworks: NumPy alone, from the tensor to the trainer."""
