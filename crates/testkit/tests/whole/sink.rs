//! Postfix's test server `smtp-sink`, which writes each message to a file.

use std::{
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
};

use postroom_testkit::{Process, eventually};
use tempfile::TempDir;

use crate::{LIMIT, fixture::needed};

/// `smtp-sink` on a free port.
pub(crate) struct SmtpSink {
    _process: Process,
    port: u16,
    folder: TempDir,
}

impl SmtpSink {
    /// Starts the server and waits until it listens.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("postroom-sink-").tempdir().expect("a folder");
        // Started as root, smtp-sink changes to the user nobody, which must be able to write.
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).expect("the permissions are set");
        loop {
            let port = free_port();
            let mut process = Process::run(command(folder.path(), port));
            let listens = eventually(LIMIT, "smtp-sink listens or has ended", async || {
                let listens = TcpStream::connect(("127.0.0.1", port)).is_ok();
                (listens || !process.is_running()).then_some(listens)
            });
            // Another process may have taken the port.
            if listens.await && process.is_running() {
                return Self { _process: process, port, folder };
            }
            assert!(process.stderr().contains("ddress already in use"), "{}", process.stderr());
        }
    }

    /// Returns the port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Returns the folder with one file per message.
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

/// Returns a port that is currently free.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}
