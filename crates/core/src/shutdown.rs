//! Graceful shutdown.

use std::{future::Future, io};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Shutdown request of this process. Clones share the state.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// Returns a shutdown that only [`Shutdown::request`] triggers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns a shutdown that SIGTERM and SIGINT trigger. A second signal ends the process at
    /// once.
    ///
    /// # Errors
    /// Returns an error if the signal handlers can't be installed.
    pub fn on_signals() -> io::Result<Self> {
        let shutdown = Self::new();
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        tokio::spawn(listen(shutdown.clone(), terminate, interrupt));
        Ok(shutdown)
    }

    /// Requests the shutdown.
    pub fn request(&self) {
        self.0.cancel();
    }

    /// Waits until the shutdown is requested.
    pub fn requested(&self) -> impl Future<Output = ()> + use<> {
        self.0.clone().cancelled_owned()
    }

    /// Whether the shutdown was requested.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Returns a shutdown for a part of the process. It is triggered with this one, or on its own.
    #[must_use]
    pub fn child(&self) -> Self {
        Self(self.0.child_token())
    }
}

async fn listen(shutdown: Shutdown, mut terminate: Signal, mut interrupt: Signal) {
    either(&mut terminate, &mut interrupt).await;
    tracing::info!("shutdown requested; a second signal ends the process at once");
    shutdown.request();
    let number = either(&mut terminate, &mut interrupt).await;
    std::process::exit(128 + number);
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> i32 {
    tokio::select! {
        _ = terminate.recv() => SignalKind::terminate().as_raw_value(),
        _ = interrupt.recv() => SignalKind::interrupt().as_raw_value(),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader},
        process::{Child, Command, Stdio},
    };

    use super::*;

    const CHILD: &str = "SHUTDOWN_TEST_CHILD";

    #[tokio::test]
    async fn a_child_stops_with_its_parent_but_not_the_reverse() {
        let parent = Shutdown::new();
        let (one, other) = (parent.child(), parent.child());
        one.request();
        one.requested().await;
        assert!(!parent.is_requested() && !other.is_requested());
        parent.request();
        other.requested().await;
        assert!(other.is_requested());
    }

    /// Child process of the test below; does nothing otherwise.
    #[tokio::test]
    async fn waits_for_signals() {
        if std::env::var_os(CHILD).is_none() {
            return;
        }
        let shutdown = Shutdown::on_signals().expect("signal handlers");
        eprintln!("ready");
        shutdown.requested().await;
        eprintln!("stopping");
        std::future::pending::<()>().await;
    }

    #[test]
    fn the_first_signal_requests_shutdown_and_the_second_ends_the_process() {
        for (signal, code) in [("TERM", 143), ("INT", 130)] {
            let mut child = Command::new(std::env::current_exe().expect("this test's program"))
                .args(["--exact", "shutdown::tests::waits_for_signals", "--nocapture"])
                .env(CHILD, "1")
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .expect("a child");
            let mut lines = BufReader::new(child.stderr.take().expect("its standard error")).lines();
            for word in ["ready", "stopping"] {
                assert!(lines.any(|line| line.expect("a line").contains(word)), "{word}");
                kill(&child, signal);
            }
            assert_eq!(child.wait().expect("its end").code(), Some(code), "{signal}");
        }
    }

    fn kill(child: &Child, signal: &str) {
        let killed = Command::new("sh").args(["-c", &format!("kill -{signal} {}", child.id())]).status();
        assert!(killed.expect("kill").success());
    }
}
