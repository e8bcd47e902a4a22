"""One shard: the partitions an actor holds, from duplicate check to insert. Runs and is tested without Ray."""
