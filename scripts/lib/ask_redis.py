"""Sends a command to a Redis: ask_redis.py SOCKET COMMAND ARGUMENT…

Prints the reply, one line for each element, and nothing for nil.
"""

import socket
import sys


def read(stream):
    line = stream.readline().rstrip(b"\r\n")
    kind, rest = line[:1], line[1:]
    if kind in (b"$", b"*") and rest == b"-1":
        return []
    if kind == b"$":
        return [stream.read(int(rest) + 2)[:-2].decode()]
    if kind == b"*":
        return [word for _ in range(int(rest)) for word in read(stream) or [""]]
    if kind == b"-":
        sys.exit(rest.decode())
    return [rest.decode()]


def main(path, *words):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    parts = [word.encode() for word in words]
    connection.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
    print("\n".join(read(connection.makefile("rb"))))


main(*sys.argv[1:])
