"""The command line: one file a command, and what starts and stops a whole platform."""
