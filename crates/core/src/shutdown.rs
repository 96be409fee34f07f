//! Being asked to stop.

use std::{future::Future, io};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Whether this process was asked to stop. Clones share the answer.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// One that only [`Shutdown::request`] asks for.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One that SIGTERM and SIGINT ask for. A second signal ends the process at once.
    pub fn on_signals() -> io::Result<Self> {
        let shutdown = Self::new();
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        tokio::spawn(listen(shutdown.clone(), terminate, interrupt));
        Ok(shutdown)
    }

    /// Asks for it.
    pub fn request(&self) {
        self.0.cancel();
    }

    /// Waits until it is asked for.
    pub fn requested(&self) -> impl Future<Output = ()> + use<> {
        self.0.clone().cancelled_owned()
    }

    /// Whether it was asked for.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.is_cancelled()
    }

    /// One that is asked for together with this one, but also alone: for a part of the process.
    #[must_use]
    pub fn child(&self) -> Self {
        Self(self.0.child_token())
    }
}

async fn listen(shutdown: Shutdown, mut terminate: Signal, mut interrupt: Signal) {
    either(&mut terminate, &mut interrupt).await;
    tracing::info!("asked to stop; a second signal ends the process at once");
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
    async fn a_child_follows_its_parent_but_does_not_lead_it() {
        let parent = Shutdown::new();
        let (one, other) = (parent.child(), parent.child());
        one.request();
        one.requested().await;
        assert!(!parent.is_requested() && !other.is_requested());
        parent.request();
        other.requested().await;
        assert!(other.is_requested());
    }

    /// What the test below runs as a process of its own; does nothing otherwise.
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
    fn the_first_signal_asks_and_the_second_ends() {
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
