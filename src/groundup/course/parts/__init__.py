"""The parts: modules of the library that a learner can replace, each with its checks."""
