"""What is going on: the views that `show` prints, metrics, health, events and the state written to the API server."""
