"""`python limited_engine.py FOLDER CONFIG`: chDB on a folder, under a configuration, in the database `canfleet`.

Runs the statements of stdin, one JSON text a line. Out comes one a line: the answer, or an error's text after `!`.
chDB serves one path per process.
"""

from __future__ import annotations

import json
import sys

import chdb


def main() -> None:
    folder, config = sys.argv[1:]
    address = f"file:{folder}?config-file={config}"
    root = chdb.connect(address)
    for line in sys.stdin:
        handle = chdb.connect(address)
        try:
            handle.query("USE canfleet", "TabSeparated")
            print(json.dumps(handle.query(json.loads(line), "TabSeparated").bytes().decode()), flush=True)
        except RuntimeError as error:
            print(json.dumps(f"!{error}"), flush=True)
        finally:
            handle.close()
    root.close()


if __name__ == "__main__":
    main()
