"""The Ray actors: thin shells around plain classes of the pipeline, and the client that finds them."""
