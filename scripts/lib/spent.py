"""Runs a command and writes what it took into a file: spent.py FILE COMMAND...

Seconds, seconds of the processor, and the most memory that it had at a time in MB, in one line.
"""

import resource
import subprocess
import sys
import time


def main(file, *command):
    start = time.monotonic()
    code = subprocess.call(command)
    seconds = time.monotonic() - start
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Kilobytes on Linux, bytes on macOS.
    memory = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    with open(file, "w", encoding="utf-8") as told:
        print(f"{seconds:.1f} {usage.ru_utime + usage.ru_stime:.1f} {memory:.1f}", file=told)
    sys.exit(code)


main(*sys.argv[1:])
