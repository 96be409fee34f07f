"""A root folder in which the mail servers of Debian packages run, beside the machine's own.

The packages are unpacked into it, never installed. Programs and libraries of the machine are
mounted into it, in a mount and process namespace that ends with this script.
"""

import os
import shutil
import subprocess
from pathlib import Path

USERS = ["root", "daemon", "mail", "postfix", "postdrop", "Debian-exim", "opensmtpd", "opensmtpq",
         "dovecot", "dovenull", "nobody", "box"]
HOST_FOLDERS = ["usr/lib/x86_64-linux-gnu", "usr/lib64", "dev", "proc"]
LINKS = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}


class Jail:
    """Root folder with one server of each kind."""

    def __init__(self, packages, folder):
        self.root = Path(folder)
        shutil.copytree(packages, self.root, symlinks=True)
        self._move_libraries()
        for name in HOST_FOLDERS:
            (self.root / name).mkdir(parents=True, exist_ok=True)
            run("mount", "--rbind", f"/{name}", self.root / name)
        for link, target in LINKS.items():
            if (self.root / link).is_dir() and not (self.root / link).is_symlink():
                shutil.rmtree(self.root / link)
            if not (self.root / link).is_symlink():
                (self.root / link).symlink_to(target)
        (self.root / "usr/bin").mkdir(exist_ok=True)
        for name in ["env", "sh"]:
            shutil.copy(f"/usr/bin/{name}", self.root / "usr/bin" / name)
        self._write_users()
        self.write("etc/ld.so.conf", "/own-lib\n/usr/lib/x86_64-linux-gnu\n/usr/lib/postfix\n/usr/lib/dovecot\n")
        # -X: changes no link in the mounted folder.
        run("ldconfig", "-X", "-r", self.root)
        for name in ["tmp", "run", "var/run", "var/log", "var/mail", "home/box"]:
            (self.root / name).mkdir(parents=True, exist_ok=True)
            (self.root / name).chmod(0o1777)

    def _move_libraries(self):
        """Keeps the packages' own libraries beside the mounted ones of the machine."""
        own = self.root / "usr/lib/x86_64-linux-gnu"
        if own.is_dir():
            own.rename(self.root / "own-lib")

    def _write_users(self):
        ids = {name: 0 if name == "root" else 900 + number for number, name in enumerate(USERS)}
        lines = [f"{name}:x:{id}:{id}::/home/box:/bin/sh" for name, id in ids.items()]
        self.write("etc/passwd", "\n".join(lines) + "\n")
        self.write("etc/group", "\n".join(f"{name}:x:{id}:" for name, id in ids.items()) + "\n")
        self.write("etc/shadow", "\n".join(f"{name}:*:1:0:99999:7:::" for name in USERS) + "\n")
        self.write("etc/hosts", "127.0.0.1 localhost mx.test\n")
        self.write("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n")
        self.write("etc/resolv.conf", "nameserver 127.0.0.1\n")
        shutil.copy("/etc/services", self.root / "etc/services")
        self.ids = ids

    def write(self, name, text, mode=0o644):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def own(self, name, user, group=None, mode=0o755):
        path = self.root / name
        path.mkdir(parents=True, exist_ok=True)
        os.chown(path, self.ids[user], self.ids[group or user])
        path.chmod(mode)

    def command(self, *words):
        return ["chroot", str(self.root), "/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin", "LC_ALL=C", *words]

    def run(self, *words):
        return run(*self.command(*words))

    def start(self, log, *words):
        """Starts a program in a process group of its own."""
        with open(self.root / f"var/log/{log}.out", "ab") as out:
            return subprocess.Popen(self.command(*words), stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                    start_new_session=True)


def run(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, words))}: {done.stdout}{done.stderr}")
    return done.stdout
