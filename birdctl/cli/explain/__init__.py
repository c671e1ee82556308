"""`birdctl explain …`: why something is as it is, step by step."""
