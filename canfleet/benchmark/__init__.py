"""The benchmark: how fast, how soon, how much CPU, and whether anything was lost."""
