//! Recorded requests, accepted mails and idempotency keys.

use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Validity of an idempotency key.
const KEY_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// Accepted mail.
#[derive(Clone, Debug)]
pub struct AcceptedMail {
    /// Time of acceptance.
    pub at: Instant,
    /// Id in the response.
    pub id: String,
    /// Idempotency key of the request.
    pub key: Option<String>,
    /// JSON body of the request.
    pub body: Value,
}

impl AcceptedMail {
    /// Returns all recipient addresses: to, cc and bcc.
    pub fn recipients(&self) -> Vec<String> {
        let list = |field: &str| self.body[field].as_array().cloned().unwrap_or_default();
        let all = ["to", "cc", "bcc"].into_iter().flat_map(list);
        all.map(|mailbox| address_of(mailbox.as_str().unwrap_or_default()).to_owned()).collect()
    }
}

/// Returns the address of a mailbox: `ann@example.org` of `Ann <ann@example.org>`.
pub(super) fn address_of(mailbox: &str) -> &str {
    mailbox.rsplit_once('<').map_or(mailbox, |(_, rest)| rest.trim_end_matches('>'))
}

/// Request to send a mail.
#[derive(Clone, Debug)]
pub struct SendRequest {
    /// Time of receipt.
    pub at: Instant,
    /// Status of the response. `None` before the response, or if the connection was closed instead.
    pub status: Option<u16>,
    /// Idempotency key of the request.
    pub key: Option<String>,
}

/// State of an idempotency key.
pub(super) enum KeyState {
    /// Unused.
    New,
    /// A request with this key and body is in progress.
    InUse,
    /// A mail was accepted with this key and body, under this id.
    Accepted(String),
    /// The key was used with another body.
    OtherBody,
}

/// Records written by connections and read by the test.
#[derive(Debug, Default)]
pub(super) struct ResendLedger {
    records: Mutex<ResendRecords>,
    mails: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct ResendRecords {
    mails: Vec<AcceptedMail>,
    requests: Vec<SendRequest>,
    keys: HashMap<String, KeyRecord>,
    connections: usize,
}

#[derive(Debug)]
struct KeyRecord {
    since: Instant,
    body: Value,
    /// Id of the mail, `None` while the request is in progress.
    id: Option<String>,
}

impl ResendLedger {
    pub(super) fn mails(&self) -> Vec<AcceptedMail> {
        self.records().mails.clone()
    }

    pub(super) fn requests(&self) -> Vec<SendRequest> {
        self.records().requests.clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.records().connections
    }

    pub(super) fn watch(&self) -> watch::Receiver<usize> {
        self.mails.subscribe()
    }

    pub(super) fn expire_keys(&self) {
        self.records().keys.clear();
    }

    pub(super) fn count_connection(&self) {
        self.records().connections += 1;
    }

    /// Records a request and returns its index.
    pub(super) fn record_request(&self, key: Option<String>) -> usize {
        let mut records = self.records();
        records.requests.push(SendRequest { at: Instant::now(), status: None, key });
        records.requests.len() - 1
    }

    pub(super) fn record_status(&self, index: usize, status: u16) {
        self.records().requests[index].status = Some(status);
    }

    pub(super) fn key_state(&self, key: &str, body: &Value) -> KeyState {
        match self.records().keys.get(key).filter(|record| record.since.elapsed() < KEY_TTL) {
            None => KeyState::New,
            Some(record) if record.body != *body => KeyState::OtherBody,
            Some(KeyRecord { id: None, .. }) => KeyState::InUse,
            Some(KeyRecord { id: Some(id), .. }) => KeyState::Accepted(id.clone()),
        }
    }

    /// Marks the key as in use.
    pub(super) fn begin_key(&self, key: &str, body: &Value) {
        let record = KeyRecord { since: Instant::now(), body: body.clone(), id: None };
        self.records().keys.insert(key.to_owned(), record);
    }

    /// Accepts the mail and returns its id.
    pub(super) fn accept(&self, key: Option<String>, body: Value) -> String {
        let mut records = self.records();
        let id = format!("00000000-0000-4000-8000-{:012}", records.mails.len() + 1);
        if let Some(key) = &key {
            let record = KeyRecord { since: Instant::now(), body: body.clone(), id: Some(id.clone()) };
            records.keys.insert(key.clone(), record);
        }
        records.mails.push(AcceptedMail { at: Instant::now(), id: id.clone(), key, body });
        let count = records.mails.len();
        drop(records);
        self.mails.send_modify(|known| *known = count.max(*known));
        id
    }

    fn records(&self) -> MutexGuard<'_, ResendRecords> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
