"""Runs a command and writes its cost to a file: spent.py FILE COMMAND...

One line: seconds, CPU seconds, and maximum memory in MB.
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
    # ru_maxrss is in kilobytes on Linux, in bytes on macOS.
    memory = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    with open(file, "w", encoding="utf-8") as output:
        print(f"{seconds:.1f} {usage.ru_utime + usage.ru_stime:.1f} {memory:.1f}", file=output)
    sys.exit(code)


main(*sys.argv[1:])
