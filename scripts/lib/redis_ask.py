"""Asks a Redis one thing and prints its answer: redis_ask.py SOCKET WORD...

`redis_ask.py SOCKET info FIELD...` prints these fields of INFO in one line.
"""

import socket
import sys


def answer(stream):
    line = stream.readline()[:-2].decode()
    kind, rest = line[0], line[1:]
    if kind == "-":
        sys.exit(rest)
    if kind == "$":
        return stream.read(int(rest) + 2)[:-2].decode() if rest != "-1" else ""
    if kind == "*":
        return "\n".join(answer(stream) for _ in range(int(rest)))
    return rest


def main(path, *words):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    asked, fields = (words[:1], words[1:]) if words[0] == "info" else (words, ())
    parts = [word.encode() for word in asked]
    connection.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
    told = answer(connection.makefile("rb"))
    facts = dict(line.split(":", 1) for line in told.splitlines() if ":" in line) if fields else {}
    print(" ".join(facts[field] for field in fields) if fields else told)


main(*sys.argv[1:])
