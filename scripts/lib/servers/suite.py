"""Sends bulks through real mail servers and reads back what was delivered.

suite.py BIN PACKAGES FOLDER SECONDS SERVER…
"""

import email
import email.policy
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import kinds
from jail import Jail

KINDS = {kind.name: kind for kind in [kinds.Postfix, kinds.Exim, kinds.EximShort, kinds.OpenSmtpd,
                                      kinds.OpenSmtpdShort, kinds.Dovecot]}
# Extra time of a row beside three times the time without it: probes, backoff, start of a server.
SLACK = 15
LOCAL_TROUBLE = "451 Temporary local problem - please try later"
GREYLISTED = "450 4.7.1 Greylisted, please come back later"


class Suite:
    """One server, and Postroom beside it."""

    def __init__(self, bin, server, folder, seconds):
        self.bin, self.server, self.seconds, self.failures = Path(bin), server, seconds, []
        self.folder = Path(folder)
        self.folder.mkdir(parents=True)
        socket = self.folder / "redis.sock"
        self.redis = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", str(socket), "--save", "",
                                       "--dir", str(self.folder)], stdout=subprocess.DEVNULL)
        while not socket.exists():
            time.sleep(0.05)
        self.env = {
            "PATH": os.environ["PATH"], "REDIS_URL": f"redis+unix://{socket}", "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(server.port), "SMTP_SECURITY": "none", "SMTP_MAIL_FROM": "Post <post@example.org>",
            "CONCURRENCY": "8", "TEMPLATES_DIR": str(self.folder),
        }
        if isinstance(server, kinds.Dovecot):
            self.env |= {"SMTP_USERNAME": "box", "SMTP_PASSWORD": "secret"}
        self.worker = subprocess.Popen([self.bin / "postroom-worker"], env=self.env, cwd=self.folder,
                                       stderr=open(self.folder / "worker.log", "wb"))
        self.seen = set()

    def end(self):
        for process in [self.worker, self.redis]:
            process.terminate()
            process.wait(40)

    def postroom(self, *words, text=None):
        done = subprocess.run([self.bin / "postroom", *words], env=self.env, cwd=self.folder, input=text, text=True,
                              capture_output=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"postroom {words[0]}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def send(self, mails, limit):
        """Sends mails as a batch. Returns the batch's report and the seconds taken."""
        start = time.monotonic()
        rows = "".join(json.dumps(mail) + "\n" for mail in mails)
        batch = self.postroom("bulk", "--jsonl", "-", "--queue", "emails", "--allow-duplicates", text=rows)
        while time.monotonic() < start + limit:
            report = json.loads(self.postroom("status", batch, "--json"))
            if report["sent"] + report["failed"] + report["unknown"] == report["total"]:
                break
            time.sleep(0.1)
        return report, time.monotonic() - start

    def new_messages(self, number):
        """Waits until this many more messages are delivered, and returns them."""
        for _ in range(600):
            found = {message["Message-ID"]: message for message in self.server.delivered()}
            new = [message for name, message in found.items() if name not in self.seen]
            if len(new) >= number:
                break
            time.sleep(0.1)
        self.seen.update(found)
        return new

    def check(self, row, expected, found):
        if expected != found:
            self.failures.append(f"{row}: expected {expected}, found {found}")

    def bulk(self, row, addresses, during=None, limit=None):
        """Sends one mail to each address while `during` disturbs the server."""
        limit = limit or 3 * self.normal * len(addresses) / 1000 + SLACK
        mails = [{"to": to, "subject": f"{row} {number}", "text": "Hello\n.dot\n"}
                 for number, to in enumerate(addresses)]
        disturbance = threading.Thread(target=during or (lambda: None))
        disturbance.start()
        report, seconds = self.send(mails, limit)
        disturbance.join()
        good = sum(to.startswith("good") for to in addresses)
        say(f"  {row}: {report['sent']} sent, {report['failed']} failed, {report['unknown']} unknown in {seconds:.1f} s"
            f" (limit {limit:.0f} s)")
        self.check(row, (good, len(addresses) - good, 0), (report["sent"], report["failed"], report["unknown"]))
        return self.new_messages(good), seconds

    def measure(self):
        """Time of a thousand mails without disturbance."""
        messages, self.normal = self.bulk("undisturbed", good(1000), limit=120)
        self.check("undisturbed, delivered", 1000, len(messages))

    def kinds_of_mail(self):
        attachment = self.folder / "report ä.bin"
        attachment.write_bytes(bytes(range(256)) * 400)
        text = "Zażółć gęślą jaźń\n.\n..two dots\nFrom here\n" + "long " * 600 + "\n"
        words = ["--to", "Łukasz <good1@mx.test>", "--cc", "good2@mx.test", "--bcc", "good3@mx.test",
                 "--subject", "Zażółć 📬 " + "and more " * 20, "--text", text,
                 "--html", "<p>Zażółć <b>jaźń</b></p>", "--attach", str(attachment), "--header", "X-Kind: all", "--wait", "60s"]
        self.postroom("send", *words)
        [message] = self.new_messages(1)
        message = email.message_from_bytes(message.as_bytes(), policy=email.policy.default)
        body = message.get_body(("plain",)).get_content()
        self.check("kinds: text", text.strip(), body.replace("\r\n", "\n").strip())
        self.check("kinds: subject", words[7].strip(), message["Subject"].strip())
        self.check("kinds: html", True, "<b>jaźń</b>" in message.get_body(("html",)).get_content())
        [found] = message.iter_attachments()
        self.check("kinds: attachment", (attachment.name, attachment.read_bytes()),
                   (found.get_filename(), found.get_content()))
        self.check("kinds: hidden recipient", None, message["Bcc"])
        self.check("kinds: header", "all", message["X-Kind"])
        say("  all kinds of content in one mail")

    def unknown_addresses(self):
        self.bulk("every third unknown", [f"bad{n}@mx.test" if n % 3 == 0 else f"good{n}@mx.test" for n in range(900)])
        self.bulk("300 dead first", [f"bad{n}@mx.test" for n in range(300)] + good(700))

    def refusals(self):
        if not self.server.can_refuse:
            return
        for row, text in [("greylisting", GREYLISTED), ("local trouble", LOCAL_TROUBLE)]:
            def refuse_for_a_while(text=text):
                self.server.refuse(text)
                time.sleep(self.seconds)
                self.server.refuse(None)
            # A greylisted mail waits up to a minute, and longer each time.
            after = self.seconds * (6 if text is GREYLISTED else 2) + 60
            self.bulk(row, good(300), refuse_for_a_while, limit=after + SLACK)

    def restarts(self):
        for row, how in [("stopped and started", signal.SIGTERM), ("killed and started", signal.SIGKILL)]:
            def restart(how=how):
                for _ in range(3):
                    time.sleep(0.5)
                    self.server.stop(how)
                    time.sleep(1)
                    self.server.start()
            self.bulk(row, good(1000), restart, limit=3 * self.normal + 40)

    def run(self):
        self.measure()
        self.kinds_of_mail()
        self.unknown_addresses()
        self.refusals()
        self.restarts()


def good(number):
    return [f"good{n}@mx.test" for n in range(number)]


def say(text):
    print(text, flush=True)


def main(bin, packages, folder, seconds, *names):
    failures = []
    for name in names or KINDS:
        say(f"{name}:")
        jails = [Jail(packages, f"{folder}/{name}{number or ''}") for number in range(1 + (name == "dovecot"))]
        server = KINDS[name](*jails)
        server.start()
        suite = Suite(bin, server, f"{folder}/{name}.postroom", float(seconds))
        try:
            suite.run()
        finally:
            suite.end()
            server.stop()
        failures += [f"{name}: {failure}" for failure in suite.failures]
    for failure in failures:
        say(f"FAIL {failure}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
