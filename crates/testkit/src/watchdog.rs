//! Nothing may outlive a test, even one that was killed.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Waits for the end of its standard input, which the test process holds open and which therefore ends with it.
const SCRIPT: &str = r#"trap "" HUP INT TERM; cat; kill -9 "$1"; if [ -n "$2" ]; then rm -rf -- "$2"; fi"#;

/// A tiny process beside a child of ours: when the test process is gone, it kills that child and removes its folder.
/// Dropped, it does nothing.
#[derive(Debug)]
pub(crate) struct Watchdog(Child);

impl Watchdog {
    /// Watches over the process `pid` and, if there is one, the temporary folder that goes with it.
    pub(crate) fn over(pid: u32, folder: Option<&Path>) -> Self {
        let child = Command::new("sh")
            .args(["-c", SCRIPT, "watchdog", &pid.to_string()])
            .arg(folder.unwrap_or(Path::new("")))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("sh can be run");
        Self(child)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // The group and not the shell alone: its `cat` belongs to it.
        let group = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.0.wait();
    }
}
