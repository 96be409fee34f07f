//! Postfix's own test server, which writes each message it gets into a file.

use std::{
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
};

use postroom_testkit::{Process, eventually};
use tempfile::TempDir;

use crate::{LIMIT, fixture::needed};

/// An `smtp-sink` on a free port.
pub(crate) struct SmtpSink {
    _process: Process,
    port: u16,
    folder: TempDir,
}

impl SmtpSink {
    /// Starts one and waits until it listens.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("postroom-sink-").tempdir().expect("a folder");
        // As root it becomes nobody, who has to be able to write.
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).expect("a folder of ours");
        loop {
            let port = free_port();
            let mut process = Process::run(command(folder.path(), port));
            let listens = eventually(LIMIT, "smtp-sink listens or has ended", async || {
                let listens = TcpStream::connect(("127.0.0.1", port)).is_ok();
                (listens || !process.is_running()).then_some(listens)
            });
            // Somebody may have been faster in taking the port.
            if listens.await && process.is_running() {
                return Self { _process: process, port, folder };
            }
            assert!(process.stderr().contains("ddress already in use"), "{}", process.stderr());
        }
    }

    /// Its port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The folder with a file for each message.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

fn command(folder: &Path, port: u16) -> Command {
    let mut command = Command::new(needed("smtp-sink"));
    command.args(["-c", "-d"]).arg(folder.join("mail."));
    if rustix::process::geteuid().is_root() {
        command.args(["-u", "nobody"]);
    }
    command.arg(format!("127.0.0.1:{port}")).arg("100");
    command
}

/// Free at this moment.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}
