"""What a model can do, measured: likelihoods, tasks, intervals, and the card that tells of them."""
