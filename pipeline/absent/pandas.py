"""Stands before pandas on the path of a platform's processes: see `pipeline.light_start`."""

raise ImportError("pandas is left out here, so that the process starts sooner")
