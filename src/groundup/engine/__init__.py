"""Generation: the KV cache, sampling, the decoding loop, conversations."""
