//! Cleanup of child processes and folders, even if the test process is killed.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Shell script that waits for the end of its standard input, then kills and removes. The test
/// process holds the other end of that pipe.
const SCRIPT: &str = r#"trap "" HUP INT TERM; cat; kill -9 "$1"; if [ -n "$2" ]; then rm -rf -- "$2"; fi"#;

/// Helper process that kills one child and removes its folder when the test process ends.
///
/// Dropping the watchdog ends the helper without any action.
#[derive(Debug)]
pub(crate) struct Watchdog(Child);

impl Watchdog {
    /// Watches the process `pid` and, if given, its temporary folder.
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
        // Kill the process group, because the shell's `cat` belongs to it.
        let group = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.0.wait();
    }
}
