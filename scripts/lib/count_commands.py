"""Prints the number of commands a second that clients send to a Redis: count_commands.py SOCKET SECONDS

Commands that scripts run inside Redis are not counted, because they need no round trip.
"""

import socket
import sys
import time


def main(path, seconds):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    connection.sendall(b"MONITOR\r\n")
    end = time.monotonic() + seconds
    seen = b""
    while (left := end - time.monotonic()) > 0:
        connection.settimeout(left)
        try:
            seen += connection.recv(65536)
        except TimeoutError:
            break
    # The first line is the reply to MONITOR. The others have the client in brackets.
    lines = seen.split(b"\r\n")[1:-1]
    sent = [line for line in lines if b" lua] " not in line.split(b'"')[0]]
    print(f"{len(sent) / seconds:.2f}")


main(sys.argv[1], float(sys.argv[2]))
