//! What the provider was asked, what it took, and the keys that it remembers.

use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// For so long a key is remembered.
const KEY: Duration = Duration::from_secs(24 * 60 * 60);

/// A mail that was taken.
#[derive(Clone, Debug)]
pub struct Mailed {
    /// When, for differences.
    pub at: Instant,
    /// What the answer calls it.
    pub id: String,
    /// The idempotency key that came with it.
    pub key: Option<String>,
    /// The request's JSON.
    pub body: Value,
}

impl Mailed {
    /// All addresses that it goes to: to, cc and bcc.
    pub fn recipients(&self) -> Vec<String> {
        let list = |field: &str| self.body[field].as_array().cloned().unwrap_or_default();
        let all = ["to", "cc", "bcc"].into_iter().flat_map(list);
        all.map(|mailbox| address_of(mailbox.as_str().unwrap_or_default()).to_owned()).collect()
    }
}

/// `Ann <ann@example.org>` and `ann@example.org` are both ann@example.org.
pub(super) fn address_of(mailbox: &str) -> &str {
    mailbox.rsplit_once('<').map_or(mailbox, |(_, rest)| rest.trim_end_matches('>'))
}

/// A request to send a mail.
#[derive(Clone, Debug)]
pub struct Asked {
    /// When it was read, for differences.
    pub at: Instant,
    /// How it was answered; nothing while it is not, or when the connection was closed instead.
    pub status: Option<u16>,
    /// The idempotency key that came with it.
    pub key: Option<String>,
}

/// What is known of a key.
pub(super) enum Known {
    /// Nothing.
    New,
    /// A request with it is under way.
    InUse,
    /// It stands for this answer.
    Answered(String),
    /// It stands for another body.
    Other,
}

/// Written by connections, read by the test.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pages: Mutex<Pages>,
    mails: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Pages {
    mails: Vec<Mailed>,
    asked: Vec<Asked>,
    keys: HashMap<String, Entry>,
    connections: usize,
}

#[derive(Debug)]
struct Entry {
    since: Instant,
    body: Value,
    /// Nothing while its request is under way.
    id: Option<String>,
}

impl Ledger {
    pub(super) fn mails(&self) -> Vec<Mailed> {
        self.pages().mails.clone()
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.pages().asked.clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.pages().connections
    }

    pub(super) fn watch(&self) -> watch::Receiver<usize> {
        self.mails.subscribe()
    }

    pub(super) fn forget_keys(&self) {
        self.pages().keys.clear();
    }

    pub(super) fn open(&self) {
        self.pages().connections += 1;
    }

    /// Notes a request and returns its place.
    pub(super) fn ask(&self, key: Option<String>) -> usize {
        let mut pages = self.pages();
        pages.asked.push(Asked { at: Instant::now(), status: None, key });
        pages.asked.len() - 1
    }

    pub(super) fn answered(&self, place: usize, status: u16) {
        self.pages().asked[place].status = Some(status);
    }

    pub(super) fn known(&self, key: &str, body: &Value) -> Known {
        match self.pages().keys.get(key).filter(|entry| entry.since.elapsed() < KEY) {
            None => Known::New,
            Some(entry) if entry.body != *body => Known::Other,
            Some(Entry { id: None, .. }) => Known::InUse,
            Some(Entry { id: Some(id), .. }) => Known::Answered(id.clone()),
        }
    }

    /// From now on the key is in use.
    pub(super) fn begin(&self, key: &str, body: &Value) {
        let entry = Entry { since: Instant::now(), body: body.clone(), id: None };
        self.pages().keys.insert(key.to_owned(), entry);
    }

    /// Takes the mail and returns its id.
    pub(super) fn take(&self, key: Option<String>, body: Value) -> String {
        let mut pages = self.pages();
        let id = format!("00000000-0000-4000-8000-{:012}", pages.mails.len() + 1);
        if let Some(key) = &key {
            let entry = Entry { since: Instant::now(), body: body.clone(), id: Some(id.clone()) };
            pages.keys.insert(key.clone(), entry);
        }
        pages.mails.push(Mailed { at: Instant::now(), id: id.clone(), key, body });
        let count = pages.mails.len();
        drop(pages);
        self.mails.send_modify(|known| *known = count.max(*known));
        id
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
