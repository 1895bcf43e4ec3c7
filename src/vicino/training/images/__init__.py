"""Networks that learn to see: images looked at, honest baselines measured, a network taught, and accepted or rejected."""
