"""Logs: lines for people or for machines, and no message so often that it fills a disk."""
