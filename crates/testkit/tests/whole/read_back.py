"""Parse the messages that smtp-sink wrote, and compare them with the expected ones.

read_back.py FOLDER EXPECTED.json: exits with 0 if each expected mail exists exactly once, and no other.
"""

import email
import email.policy
import html.parser
import json
import pathlib
import sys


class Page(html.parser.HTMLParser):
    """Elements and text of an HTML body."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words = set(), ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)

    def handle_data(self, data):
        self.words += data


def body(message, kind):
    part = message.get_body((kind,))
    assert part is not None, f"no {kind} part"
    # SMTP uses CRLF as the line ending.
    return part.get_content().replace("\r\n", "\n")


def compare(message, wanted):
    assert not message.defects, message.defects
    assert message["Subject"] == wanted["subject"], message["Subject"]
    assert body(message, "plain") == wanted["text"], body(message, "plain")
    page = Page(body(message, "html"))
    assert page.words.strip() == wanted["html"], page.words
    # An unescaped name would appear as an element.
    assert page.tags <= {"html", "head", "body", "p"}, page.tags


def recipient(message):
    """Return the envelope recipient that smtp-sink recorded."""
    [args] = message.get_all("X-Rcpt-Args")
    return args[args.index("<") + 1 : args.index(">")]


def main(folder, expected):
    expected = json.loads(pathlib.Path(expected).read_text(encoding="utf-8"))
    ids = set()
    for path in pathlib.Path(folder).iterdir():
        message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        address = recipient(message)
        assert address in expected, f"{address}: not expected, or received twice"
        assert message["To"] == address, message["To"]
        try:
            compare(message, expected.pop(address))
        except AssertionError as error:
            sys.exit(f"{address}: {error!r}")
        ids.add(message["Message-ID"])
        done = len(ids)
    if expected:
        sys.exit(f"missing: {sorted(expected)[:5]} and {len(expected) - 5} more")
    print(f"{done} mails are exact")


main(*sys.argv[1:])
