"""The servers of the suite: configuration, start, stop, and the mail that they have delivered.

Each accepts mail for good*@mx.test and delivers it to files. Other addresses are unknown.
"""

import mailbox
import os
import signal
import socket
import time

from jail import Jail


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """One server in a jail."""

    name = ""
    can_refuse = False

    def __init__(self, jail: Jail):
        self.jail, self.port, self.process = jail, free_port(), None
        self.configure()

    def configure(self):
        raise NotImplementedError

    def words(self):
        """Command that runs the server in the foreground."""
        raise NotImplementedError

    def start(self):
        self.process = self.jail.start(self.name, *self.words())
        for _ in range(600):
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as tcp:
                    if tcp.recv(3) == b"220":
                        return
            except OSError:
                pass
            if self.process.poll() is not None:
                raise SystemExit(f"{self.name} ended with {self.process.returncode}: {self.log()}")
            time.sleep(0.05)
        raise SystemExit(f"{self.name} does not greet: {self.log()}")

    def stop(self, how=signal.SIGTERM):
        """Ends the server and its children."""
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, how)
            self.process.wait(30)

    def log(self):
        paths = [path for path in self.jail.root.glob("var/log/*") if path.is_file()]
        return "\n".join(path.read_text(errors="replace")[-3000:] for path in paths)

    def refuse(self, text):
        """Refuses every recipient with this reply; `None` accepts again."""
        raise NotImplementedError

    def delivered(self):
        """Returns the delivered messages."""
        return list(mailbox.Maildir(self.jail.root / "home/box/Maildir", create=True))


class Postfix(Server):
    name = "postfix"
    can_refuse = True
    queue = "var/spool/postfix"

    def configure(self):
        jail = self.jail
        self.restrictions = ""
        for name in ["active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "saved", "trace"]:
            jail.own(f"{self.queue}/{name}", "postfix", "root", 0o700)
        jail.own(f"{self.queue}/private", "postfix", "root", 0o700)
        jail.own(f"{self.queue}/public", "postfix", "postdrop", 0o710)
        jail.own(f"{self.queue}/maildrop", "postfix", "postdrop", 0o730)
        jail.own(f"{self.queue}/pid", "root")
        jail.own("var/lib/postfix", "postfix", "postfix", 0o700)
        jail.own("home/box", "box")
        self.write_main()
        services = [
            (f"127.0.0.1:{self.port}", "inet", "n", "-", "smtpd"), ("cleanup", "unix", "n", "0", "cleanup"),
            ("qmgr", "unix", "n", "1", "qmgr"), ("rewrite", "unix", "-", "-", "trivial-rewrite"),
            ("bounce", "unix", "-", "0", "bounce"), ("defer", "unix", "-", "0", "bounce"),
            ("trace", "unix", "-", "0", "bounce"), ("virtual", "unix", "-", "-", "virtual"),
            ("smtp", "unix", "-", "-", "smtp"), ("error", "unix", "-", "-", "error"),
            ("retry", "unix", "-", "-", "error"), ("proxymap", "unix", "-", "-", "proxymap"),
            ("anvil", "unix", "-", "1", "anvil"), ("scache", "unix", "-", "1", "scache"),
            ("flush", "unix", "n", "0", "flush"), ("postlog", "unix-dgram", "n", "1", "postlogd"),
        ]
        lines = []
        for name, kind, private, most, program in services:
            unprivileged = "n" if name == "virtual" else "-"
            lines.append(f"{name} {kind} {private} {unprivileged} n - {most} {program}")
        jail.write("etc/postfix/master.cf", "\n".join(lines) + "\n")

    def write_main(self):
        ids = self.jail.ids
        self.jail.write("etc/postfix/main.cf", f"""\
compatibility_level = 3.6
myhostname = mx.test
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
maillog_file = /var/log/postfix.log
mynetworks = 127.0.0.0/8
local_transport = error:none
alias_maps =
alias_database =
virtual_mailbox_domains = mx.test
virtual_mailbox_base = /home/box
virtual_mailbox_maps = regexp:/etc/postfix/boxes
virtual_uid_maps = static:{ids["box"]}
virtual_gid_maps = static:{ids["box"]}
virtual_minimum_uid = 1
smtpd_recipient_restrictions = {self.restrictions} permit_mynetworks, reject
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
message_size_limit = 50000000
mailbox_size_limit = 0
virtual_mailbox_limit = 0
""")
        self.jail.write("etc/postfix/boxes", "/^good/ Maildir/\n")

    def words(self):
        return ["/usr/lib/postfix/sbin/master", "-d", "-c", "/etc/postfix"]

    def refuse(self, text):
        self.restrictions = f"check_client_access {{ static:{{{text}}} }}," if text else ""
        self.write_main()
        os.kill(self.process.pid, signal.SIGHUP)
        time.sleep(0.5)


class Exim(Server):
    name = "exim"
    can_refuse = True
    more = ""

    def configure(self):
        jail = self.jail
        jail.own("var/spool/exim4", "Debian-exim", mode=0o750)
        jail.own("var/log/exim4", "Debian-exim")
        jail.own("home/box", "box")
        jail.own("run/exim4", "Debian-exim")
        jail.write("etc/exim4/exim4.conf", f"""\
primary_hostname = mx.test
daemon_smtp_ports = {self.port}
local_interfaces = 127.0.0.1
pid_file_path = /run/exim4/exim.pid
tls_advertise_hosts =
host_lookup =
rfc1413_hosts =
smtp_accept_max = 200
log_file_path = /var/log/exim4/%slog
message_size_limit = 50M
acl_smtp_rcpt = rcpt
acl_smtp_data = accept
never_users =
exim_path = /usr/sbin/exim4
keep_environment =
{self.more}
begin acl
rcpt:
  defer condition = ${{if exists{{/refuse}}}}
        message = ${{readfile{{/refuse}}{{}}}}
  accept local_parts = ^good.*
         domains = mx.test
  deny message = Unrouteable address
begin routers
box:
  driver = accept
  local_parts = ^good.*
  transport = maildir
begin transports
maildir:
  driver = appendfile
  directory = /home/box/Maildir
  maildir_format
  user = box
  group = box
""")

    def words(self):
        return ["/usr/sbin/exim4", "-bdf", "-q30s"]

    def refuse(self, text):
        path = self.jail.root / "refuse"
        if text:
            self.jail.write("refuse.new", text.split(" ", 1)[1])
            (self.jail.root / "refuse.new").rename(path)
        else:
            path.unlink()


class EximShort(Exim):
    """Exim that accepts twenty mails a connection."""

    name = "exim-20"
    more = "smtp_accept_max_per_connection = 20"


class OpenSmtpd(Server):
    name = "opensmtpd"
    most = ""

    def configure(self):
        jail = self.jail
        jail.own("var/lib/opensmtpd/empty", "root")
        jail.own("var/spool/smtpd", "root", mode=0o711)
        jail.own("home/box", "box")
        jail.write("etc/mailname", "mx.test\n")
        # Every address is looked up in this list; the bulks name their addresses in advance.
        names = [f"good{number}" for number in range(2000)]
        jail.write("etc/good", "".join(f"{name}@mx.test box\n" for name in names))
        jail.write("etc/smtpd.conf", f"""\
{self.most}
table good file:/etc/good
listen on 127.0.0.1 port {self.port} hostname mx.test
action "box" maildir "/home/box/Maildir" virtual <good>
match from any for domain "mx.test" action "box"
""")

    def words(self):
        return ["/usr/sbin/smtpd", "-d", "-f", "/etc/smtpd.conf"]


class OpenSmtpdShort(OpenSmtpd):
    """OpenSMTPD that accepts twenty mails a session."""

    name = "opensmtpd-20"
    most = "smtp limit max-mails 20"


class Dovecot(Server):
    """Dovecot's submission service, which passes each command on to Postfix."""

    name = "dovecot"

    def __init__(self, jail, relay_jail):
        self.relay = Postfix(relay_jail)
        super().__init__(jail)

    def configure(self):
        jail = self.jail
        jail.own("run/dovecot", "root")
        jail.write("etc/dovecot-users", "box:{PLAIN}secret:%d:%d::/home/box::\n" % (jail.ids["box"], jail.ids["box"]))
        jail.write("etc/dovecot/dovecot.conf", f"""\
protocols = submission
base_dir = /run/dovecot
state_dir = /run/dovecot
log_path = /var/log/dovecot.log
ssl = no
disable_plaintext_auth = no
first_valid_uid = 1
mail_location = maildir:/home/box/Maildir
hostname = mx.test
submission_relay_host = 127.0.0.1
submission_relay_port = {self.relay.port}
submission_relay_trusted = no
service submission-login {{
  inet_listener submission {{
    address = 127.0.0.1
    port = {self.port}
  }}
  chroot =
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u /etc/dovecot-users
}}
userdb {{
  driver = passwd-file
  args = username_format=%u /etc/dovecot-users
}}
""")

    def words(self):
        return ["/usr/sbin/dovecot", "-F", "-c", "/etc/dovecot/dovecot.conf"]

    def start(self):
        if not self.relay.process or self.relay.process.poll() is not None:
            self.relay.start()
        super().start()

    def delivered(self):
        return self.relay.delivered()
