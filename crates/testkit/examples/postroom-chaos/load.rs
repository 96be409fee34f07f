//! Mail to be sent.

use crate::site::Site;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Output;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long to go on handing over while Redis is away.
const PATIENCE: Duration = Duration::from_secs(120);

/// The exit code that says that Redis is away.
const AWAY: i32 = 3;

/// What was handed over so far: nothing counts that was not acknowledged.
#[derive(Debug)]
pub(crate) struct Load {
    site: Arc<Site>,
    next: usize,
    /// Batches: the number of the first recipient, and how many there are.
    pub(crate) batches: BTreeMap<String, (usize, usize)>,
    /// Single mails: recipient and id.
    pub(crate) singles: BTreeMap<String, String>,
}

impl Load {
    pub(crate) fn new(site: &Arc<Site>) -> Self {
        Self { site: Arc::clone(site), next: 0, batches: BTreeMap::new(), singles: BTreeMap::new() }
    }

    /// How many mails that is.
    pub(crate) fn len(&self) -> usize {
        self.batches.values().map(|(_, number)| number).sum::<usize>() + self.singles.len()
    }

    /// Hands over a bulk, as often as it takes until it is acknowledged; returns its id and the first recipient's number.
    pub(crate) async fn bulk(&mut self, number: usize, options: &[&str]) -> (String, usize) {
        let first = self.next;
        self.next += number;
        let rows = self.site.file(&format!("bulk-{first}.jsonl"), &rows(first, number));
        let (rows, key) = (rows.display().to_string(), format!("bulk-{first}"));
        let args = [&["bulk", "--jsonl", &rows, "--key", &key], options].concat();
        let id = self.until_acknowledged(&args).await;
        self.batches.insert(id.clone(), (first, number));
        (id, first)
    }

    /// Hands over a single mail once; what went wrong when it was not acknowledged.
    pub(crate) async fn send(&mut self, options: &[&str]) -> Result<String, String> {
        let to = recipient(self.next);
        self.next += 1;
        let args = [&["send", "--to", &to, "--subject", "Single", "--text", "A single mail."], options].concat();
        let output = self.site.postroom(&args).await;
        if !output.status.success() {
            return Err(told(&output));
        }
        self.singles.insert(to.clone(), String::from_utf8_lossy(&output.stdout).trim().to_owned());
        Ok(to)
    }

    async fn until_acknowledged(&self, args: &[&str]) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let output = self.site.postroom(args).await;
            if output.status.success() {
                return String::from_utf8_lossy(&output.stdout).trim().to_owned();
            }
            let may_pass = output.status.code() == Some(AWAY) && Instant::now() < end;
            assert!(may_pass, "postroom {args:?} is not acknowledged: {}", told(&output));
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// The recipient of that number; no two jobs have the same.
pub(crate) fn recipient(number: usize) -> String {
    format!("n{number}@chaos.example")
}

fn rows(first: usize, number: usize) -> String {
    (first..first + number).fold(String::new(), |mut rows, n| {
        let row = json!({ "to": recipient(n), "subject": format!("Mail {n}"), "text": "One of many." });
        let _ = writeln!(rows, "{row}");
        rows
    })
}

fn told(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    format!("{}: {}", output.status, said.trim())
}
