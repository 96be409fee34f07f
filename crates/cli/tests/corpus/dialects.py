"""Writes random tables in random dialects: python3 dialects.py SEED COUNT

Prints one JSON object a line: the file's bytes in hex, and the rows as a list of objects.
"""

import csv
import io
import json
import random
import sys

ALPHABET = ["a", "Z", "7", " ", "\t", ",", ";", "|", '"', '""', "'", "\\", "\n", "\r\n", "=", ".", "ż", "日本", "🎉", "\u00a0"]
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-16-le"]


def text(rng):
    while True:
        value = "".join(rng.choices(ALPHABET, k=rng.choice([0, 1, 2, 3, 5, 9])))
        if not value.strip().startswith(("=", "\\")):
            return value


def main(seed, count):
    rng = random.Random(seed)
    for _ in range(count):
        names = [f"{text(rng)}c{at}" for at in range(rng.randrange(5))]
        names = [name.strip() for name in names]
        address = rng.randrange(len(names) + 1)
        names.insert(address, rng.choice(["email", "E-mail Address", "to", "Adres e-mail"]))
        rows = [[text(rng) for _ in names] for _ in range(rng.randrange(1, 6))]
        for at, row in enumerate(rows):
            row[address] = f"a{at}@example.org"
        end = rng.choice(["\n", "\r\n", "\r"])
        # With lines that end with CR, Python does not quote a field for its LF.
        quoting = [csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC] + ([csv.QUOTE_MINIMAL] if end != "\r" else [])
        out = io.StringIO(newline="")
        writer = csv.writer(
            out,
            delimiter=rng.choice(",;\t|"),
            quoting=rng.choice(quoting),
            lineterminator=end,
        )
        writer.writerow(names)
        writer.writerows(rows)
        encoding = rng.choice(ENCODINGS)
        mark = "\ufeff" if encoding.endswith("e") else ""
        data = (mark + out.getvalue()).encode(encoding)
        # A reader of text sees one kind of line break, and blanks around a value are not part of it.
        unix = [[value.replace("\r\n", "\n").strip() for value in row] for row in rows]
        keys = [name.replace("\r\n", "\n") for name in names]
        records = [dict(zip(keys, row)) for row in unix]
        print(json.dumps({"file": data.hex(), "address": keys[address], "rows": records}))


main(int(sys.argv[1]), int(sys.argv[2]))
