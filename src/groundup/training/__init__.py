"""From a corpus to a model: data, optimisers, schedules, the loop, checkpoints."""
