//! Record of everything that a server received.

use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};
use tokio::sync::watch;

/// Mail that was accepted, or stored without an acceptance.
#[derive(Clone, Debug)]
pub struct Received {
    /// Time at which the final dot was read, for measuring durations.
    pub at: Instant,
    /// Wall-clock time of `at`.
    pub at_system: SystemTime,
    /// Connection, counted from 1.
    pub connection: usize,
    /// Position among the mails of that connection, counted from 1.
    pub nth_on_connection: usize,
    /// Sender of the envelope; empty for `<>`.
    pub mail_from: String,
    /// Parameters of MAIL, such as `SIZE=1000`.
    pub params: Vec<String>,
    /// Accepted recipients of the envelope.
    pub rcpt_to: Vec<String>,
    /// Content without dot-stuffing, including its last CRLF.
    pub data: Vec<u8>,
    /// Whether the connection was encrypted.
    pub tls: bool,
    /// User that was authenticated on the connection.
    pub auth_user: Option<String>,
}

impl Received {
    /// Returns the first header of this name, unfolded but not decoded.
    pub fn header(&self, name: &str) -> Option<String> {
        let text = self.text();
        let (head, _) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let mut lines = head.split("\r\n").skip_while(|line| !is_header(line, name));
        let first = lines.next()?[name.len() + 1..].trim_start().to_owned();
        let folded = lines.take_while(|line| line.starts_with([' ', '\t']));
        Some(folded.fold(first, |value, line| value + line))
    }

    /// Returns the Message-ID without angle brackets, or an empty string.
    pub fn message_id(&self) -> String {
        self.header("Message-ID").unwrap_or_default().trim_matches(['<', '>']).to_owned()
    }

    /// Returns the content as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.data).into_owned()
    }
}

fn is_header(line: &str, name: &str) -> bool {
    line.split_once(':').is_some_and(|(found, _)| found.eq_ignore_ascii_case(name))
}

/// Record of a server, written by sessions and read by the test.
#[derive(Debug, Default)]
pub(super) struct SmtpLedger {
    state: Mutex<LedgerState>,
    received_count: watch::Sender<usize>,
    open_count: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct LedgerState {
    received: Vec<Received>,
    violations: Vec<String>,
    /// Command lines of each connection.
    commands: Vec<Vec<String>>,
    transactions: usize,
    ahead: usize,
    open: usize,
    peak: usize,
}

impl SmtpLedger {
    pub(super) fn received(&self) -> Vec<Received> {
        self.state().received.clone()
    }

    pub(super) fn received_count(&self) -> usize {
        self.state().received.len()
    }

    pub(super) fn watch(&self) -> watch::Receiver<usize> {
        self.received_count.subscribe()
    }

    pub(super) fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.state().commands.len()
    }

    pub(super) fn peak_connections(&self) -> usize {
        self.state().peak
    }

    pub(super) fn commands(&self, connection: usize) -> Vec<String> {
        let index = connection.checked_sub(1).expect("connections are counted from 1");
        self.state().commands.get(index).cloned().unwrap_or_default()
    }

    /// Describes the record, for the panic message of a test.
    pub(super) fn summary(&self) -> String {
        let state = self.state();
        let mut text = format!("{} were received on {} connections:", state.received.len(), state.commands.len());
        for mail in state.received.iter().take(20) {
            let subject = mail.header("Subject").unwrap_or_default();
            let _ = write!(text, "\n  to {}: {subject}", mail.rcpt_to.join(", "));
        }
        for violation in &state.violations {
            let _ = write!(text, "\n  violation: {violation}");
        }
        text
    }

    pub(super) fn ahead(&self) -> usize {
        self.state().ahead
    }

    /// Counts a mail with an envelope that arrived together with the previous message.
    pub(super) fn count_ahead(&self) {
        self.state().ahead += 1;
    }

    /// Records a connection. Returns its number and the number of open connections.
    pub(super) fn open(&self) -> (usize, usize) {
        let mut state = self.state();
        state.commands.push(Vec::new());
        state.open += 1;
        state.peak = state.peak.max(state.open);
        self.open_count.send_replace(state.open);
        (state.commands.len(), state.open)
    }

    pub(super) fn closed(&self) {
        let mut state = self.state();
        state.open -= 1;
        self.open_count.send_replace(state.open);
    }

    /// Waits until fewer connections are open.
    pub(super) async fn below(&self, number: usize) {
        let _ = self.open_count.subscribe().wait_for(|open| *open < number).await;
    }

    pub(super) fn command(&self, connection: usize, line: &str) {
        self.state().commands[connection - 1].push(line.to_owned());
    }

    pub(super) fn violation(&self, connection: usize, what: &str) {
        self.state().violations.push(format!("connection {connection}: {what}"));
    }

    /// Returns the number of a new transaction.
    pub(super) fn transaction(&self) -> usize {
        let mut state = self.state();
        state.transactions += 1;
        state.transactions
    }

    pub(super) fn add(&self, mail: Received) {
        let mut state = self.state();
        state.received.push(mail);
        let count = state.received.len();
        drop(state);
        // Concurrent sessions may send their counts in the opposite order.
        self.received_count.send_modify(|count_so_far| *count_so_far = count.max(*count_so_far));
    }

    fn state(&self) -> MutexGuard<'_, LedgerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
