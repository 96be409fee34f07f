"""Send mails with Celery and print the number per second: celery_mails.py MAILS PROCESSES.

Uses the fast options of Celery and smtplib: email.mime classes, one kept connection per process, no
task results. Time runs from the first task taken to the last one done, without the start of Celery.
"""

import json
import os
import smtplib
import subprocess
import sys
import time
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.utils import formatdate, make_msgid
from pathlib import Path

from celery import Celery
from jinja2 import Environment, FileSystemLoader, StrictUndefined

app = Celery("celery_mails", broker=os.environ["BROKER"])
app.conf.update(task_ignore_result=True, worker_send_task_events=False, broker_connection_retry_on_startup=True)
loader = FileSystemLoader(os.environ["TEMPLATES_DIR"])
templates = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
server = None


@app.task
def send(to, variables):
    global server
    mail = MIMEMultipart("alternative")
    mail["From"], mail["To"] = "Bench <bench@example.org>", to
    mail["Subject"] = render("subject.txt", variables).strip()
    mail["Date"], mail["Message-ID"] = formatdate(), make_msgid(domain="example.org")
    mail.attach(MIMEText(render("body.txt", variables), "plain"))
    mail.attach(MIMEText(render("body.html", variables), "html"))
    if server is None:
        server = smtplib.SMTP("127.0.0.1", int(os.environ["SMTP_PORT"]))
    server.sendmail("bench@example.org", [to], mail.as_string())


def render(file, variables):
    return templates.get_template(f"receipt/{file}").render(variables)


def enqueue(mails):
    variables = json.loads(Path(__file__).with_name("receipt.json").read_text())
    with app.producer_pool.acquire(block=True) as producer:
        for number in range(mails):
            args = (f"user{number}@example.org", {**variables, "name": f"Reader {number}"})
            send.apply_async(args, producer=producer)


def drain(mails):
    with app.connection_for_read() as connection:
        redis = connection.default_channel.client
        first = None
        while True:
            left, taken = redis.llen("celery"), redis.hlen("unacked")
            now = time.monotonic()
            if first is None and left < mails:
                first, mails = now, left + taken
            if first is not None and left + taken == 0:
                return mails / (now - first)
            time.sleep(0.005)


def main(mails, processes):
    enqueue(mails)
    command = ["celery", "-A", "celery_mails", "worker", "--concurrency", str(processes), "--loglevel", "ERROR"]
    options = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    null = subprocess.DEVNULL
    worker = subprocess.Popen(command + options, stdout=null, stderr=null, stdin=null)
    try:
        print(f"{drain(mails):.0f}")
    finally:
        worker.terminate()
        worker.wait()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
