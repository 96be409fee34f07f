//! Mail to be sent.

use crate::site::Site;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;

/// How long to go on handing over while Redis is away.
const PATIENCE: Duration = Duration::from_secs(120);

/// More than any load has.
const BESIDE: usize = 10_000_000;
/// In how many pieces the rows of a slow bulk come.
const PORTIONS: u32 = 25;
/// The exit code that says that Redis is away.
const AWAY: i32 = 3;
/// The exit code that says that what was there is gone.
const NOT_FOUND: i32 = 4;

/// What was handed over so far: nothing counts that was not acknowledged.
#[derive(Debug)]
pub(crate) struct Load {
    site: Arc<Site>,
    next: usize,
    /// Batches: the number of the first recipient, and how many there are.
    pub(crate) batches: BTreeMap<String, (usize, usize)>,
    /// Single mails: recipient and id.
    pub(crate) singles: BTreeMap<String, String>,
    /// How often a bulk broke off because what it had put in was gone, and was said again.
    pub(crate) broke_off: Vec<String>,
}

impl Load {
    pub(crate) fn new(site: &Arc<Site>) -> Self {
        Self {
            site: Arc::clone(site),
            next: 0,
            batches: BTreeMap::new(),
            singles: BTreeMap::new(),
            broke_off: Vec::new(),
        }
    }

    /// Another one to other recipients, for handing over at the same time.
    pub(crate) fn beside(&self) -> Self {
        Self { next: self.next + BESIDE, ..Self::new(&self.site) }
    }

    /// Takes in what another one has handed over.
    pub(crate) fn absorb(&mut self, other: Self) {
        self.next = self.next.max(other.next);
        self.batches.extend(other.batches);
        self.singles.extend(other.singles);
        self.broke_off.extend(other.broke_off);
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

    /// Hands over a bulk whose rows come little by little.
    pub(crate) async fn trickle(&mut self, number: usize, length: Duration) {
        let first = self.next;
        self.next += number;
        let mut command = tokio::process::Command::from(self.site.command("postroom"));
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
        let output = bulk.wait_with_output().await.expect("it ends");
        if output.status.success() {
            let id = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            self.batches.insert(id, (first, number));
        } else {
            self.broke_off.push(told(&output));
        }
    }

    async fn until_acknowledged(&mut self, args: &[&str]) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let output = self.site.postroom(args).await;
            if output.status.success() {
                return String::from_utf8_lossy(&output.stdout).trim().to_owned();
            }
            let broke_off = output.status.code() == Some(NOT_FOUND);
            if broke_off {
                self.broke_off.push(told(&output));
            }
            let may_pass = (broke_off || output.status.code() == Some(AWAY)) && Instant::now() < end;
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
