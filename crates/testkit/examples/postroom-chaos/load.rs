//! Enqueueing of mails with distinct recipients.

use crate::testbed::Testbed;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;

/// Maximum time to retry an enqueue while Redis is unreachable.
const RETRY_LIMIT: Duration = Duration::from_secs(120);

/// Offset of the recipients of a sibling load, larger than any load.
const SIBLING_OFFSET: usize = 10_000_000;
/// Number of portions of a slow bulk.
const PORTIONS: u32 = 25;
/// Exit code for an unreachable Redis.
const UNREACHABLE: i32 = 3;
/// Exit code for a batch that no longer exists.
const NOT_FOUND: i32 = 4;

/// Acknowledged mails of a run.
#[derive(Debug)]
pub(crate) struct Load {
    testbed: Arc<Testbed>,
    next: usize,
    /// Batches by id: the number of the first recipient and the number of recipients.
    pub(crate) batches: BTreeMap<String, (usize, usize)>,
    /// Single mails: job ids by recipient.
    pub(crate) singles: BTreeMap<String, String>,
    /// Errors of bulks that ended because their batch was gone. Most of them were then retried.
    pub(crate) aborted: Vec<String>,
}

impl Load {
    pub(crate) fn new(testbed: &Arc<Testbed>) -> Self {
        Self {
            testbed: Arc::clone(testbed),
            next: 0,
            batches: BTreeMap::new(),
            singles: BTreeMap::new(),
            aborted: Vec::new(),
        }
    }

    /// Returns an empty load with other recipients, for concurrent enqueueing.
    pub(crate) fn sibling(&self) -> Self {
        Self { next: self.next + SIBLING_OFFSET, ..Self::new(&self.testbed) }
    }

    /// Adds the mails of another load.
    pub(crate) fn merge(&mut self, other: Self) {
        self.next = self.next.max(other.next);
        self.batches.extend(other.batches);
        self.singles.extend(other.singles);
        self.aborted.extend(other.aborted);
    }

    /// Returns the number of mails.
    pub(crate) fn len(&self) -> usize {
        self.batches.values().map(|(_, number)| number).sum::<usize>() + self.singles.len()
    }

    /// Enqueues a bulk and retries until it is acknowledged. Returns its id and the number of the
    /// first recipient.
    pub(crate) async fn bulk(&mut self, number: usize, options: &[&str]) -> (String, usize) {
        let first = self.next;
        self.next += number;
        let rows = self.testbed.file(&format!("bulk-{first}.jsonl"), &rows(first, number));
        let (rows, key) = (rows.display().to_string(), format!("bulk-{first}"));
        let args = [&["bulk", "--jsonl", &rows, "--key", &key], options].concat();
        let id = self.until_acknowledged(&args).await;
        self.batches.insert(id.clone(), (first, number));
        (id, first)
    }

    /// Enqueues a single mail without retries and returns its recipient.
    ///
    /// # Errors
    ///
    /// The exit status and standard error if the mail was not acknowledged.
    pub(crate) async fn send(&mut self, options: &[&str]) -> Result<String, String> {
        let to = recipient(self.next);
        self.next += 1;
        let args = [&["send", "--to", &to, "--subject", "Single", "--text", "A single mail."], options].concat();
        let output = self.testbed.postroom(&args).await;
        if !output.status.success() {
            return Err(failure(&output));
        }
        self.singles.insert(to.clone(), String::from_utf8_lossy(&output.stdout).trim().to_owned());
        Ok(to)
    }

    /// Enqueues a bulk whose rows are written in portions over `length`.
    pub(crate) async fn trickle(&mut self, number: usize, length: Duration) {
        let first = self.next;
        self.next += number;
        let mut command = tokio::process::Command::from(self.testbed.command("postroom"));
        command.args(["bulk", "--jsonl", "-"]).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut bulk = command.spawn().expect("postroom runs");
        let mut input = bulk.stdin.take().expect("standard input is piped");
        let pause = length / PORTIONS;
        let portion = number / PORTIONS as usize;
        for start in (first..first + number).step_by(portion) {
            let rows = rows(start, portion.min(first + number - start));
            if input.write_all(rows.as_bytes()).await.is_err() {
                break;
            }
            tokio::time::sleep(pause).await;
        }
        drop(input);
        let output = bulk.wait_with_output().await.expect("bulk ends");
        if output.status.success() {
            let id = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            self.batches.insert(id, (first, number));
        } else {
            self.aborted.push(failure(&output));
        }
    }

    async fn until_acknowledged(&mut self, args: &[&str]) -> String {
        let end = Instant::now() + RETRY_LIMIT;
        loop {
            let output = self.testbed.postroom(args).await;
            if output.status.success() {
                return String::from_utf8_lossy(&output.stdout).trim().to_owned();
            }
            let aborted = output.status.code() == Some(NOT_FOUND);
            if aborted {
                self.aborted.push(failure(&output));
            }
            let may_retry = (aborted || output.status.code() == Some(UNREACHABLE)) && Instant::now() < end;
            assert!(may_retry, "postroom {args:?} is not acknowledged: {}", failure(&output));
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// Returns the recipient with this number. Each job has its own recipient.
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

fn failure(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    format!("{}: {}", output.status, stderr.trim())
}
