//! Summaries of captured mails, stored beside the mails and shown in the list.

use serde::{Deserialize, Serialize};

use super::mail::{CapturedMail, captured_at_ms};
use crate::{EmailAddress, Result, store::connection::Store};

/// Maximum number of recipients in a summary.
const RECIPIENTS: usize = 10;
/// Maximum number of characters of the subject in a summary.
const SUBJECT: usize = 500;
/// Bytes read of a mail without a summary. They hold all fields before the message in a mail of
/// usual size.
const HEAD: usize = 64 * 1_024;
/// Text after the subject in a stored mail. Inside a JSON string its quotes would be escaped.
const MESSAGE: &str = r#","message":""#;

/// A captured mail without its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedSummary {
    /// Id of the captured mail.
    pub id: String,
    /// Time of capture (Unix milliseconds).
    pub at_ms: i64,
    /// Sender of the envelope.
    pub mail_from: Option<EmailAddress>,
    /// First recipients of the envelope.
    pub rcpt_to: Vec<EmailAddress>,
    /// Total number of recipients.
    pub recipients: usize,
    /// Beginning of the subject.
    pub subject: String,
    /// Size of the message in bytes.
    pub bytes: u64,
}

/// Stored form of a summary.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::store) struct Summary {
    mail_from: Option<EmailAddress>,
    rcpt_to: Vec<EmailAddress>,
    recipients: usize,
    subject: String,
    bytes: u64,
}

impl Summary {
    pub(in crate::store) fn of(mail: &CapturedMail) -> Self {
        Self {
            mail_from: mail.mail_from.clone(),
            rcpt_to: mail.rcpt_to.iter().take(RECIPIENTS).cloned().collect(),
            recipients: mail.rcpt_to.len(),
            subject: mail.subject.chars().take(SUBJECT).collect(),
            bytes: mail.message.len() as u64,
        }
    }

    /// Builds a summary from the first bytes of a stored mail and the mail's stored length.
    ///
    /// Mails stored by earlier versions have no summary. The result is empty if the recipients do
    /// not fit in the head.
    fn of_head(head: &[u8], length: u64) -> Self {
        let text = String::from_utf8_lossy(head);
        let (head, _) = text.split_once(MESSAGE).unwrap_or_default();
        let mut summary: Self = serde_json::from_str(&format!("{head}}}")).unwrap_or_default();
        summary.recipients = summary.rcpt_to.len();
        summary.rcpt_to.truncate(RECIPIENTS);
        summary.subject = summary.subject.chars().take(SUBJECT).collect();
        summary.bytes = length.saturating_sub((head.len() + MESSAGE.len()) as u64) / 4 * 3;
        summary
    }

    fn named(self, id: &str) -> Option<CapturedSummary> {
        let Self { mail_from, rcpt_to, recipients, subject, bytes } = self;
        let (id, at_ms) = (id.to_owned(), captured_at_ms(id)?);
        Some(CapturedSummary { id, at_ms, mail_from, rcpt_to, recipients, subject, bytes })
    }
}

impl Store {
    /// Reads the summaries of these mails and leaves out missing and unreadable ones.
    pub(in crate::store) async fn captured_summaries(&self, ids: &[String]) -> Result<Vec<CapturedSummary>> {
        let keys: Vec<String> = ids.iter().map(|id| format!("{}:summary", self.captured_key(id))).collect();
        let found: Vec<Option<String>> = self.run(redis::cmd("MGET").arg(keys)).await?;
        let mut summaries = Vec::new();
        for (id, json) in ids.iter().zip(found) {
            let summary = match json.and_then(|json| serde_json::from_str(&json).ok()) {
                Some(summary) => Some(summary),
                None => self.summary_of_head(id).await?,
            };
            summaries.extend(summary.and_then(|summary: Summary| summary.named(id)));
        }
        Ok(summaries)
    }

    async fn summary_of_head(&self, id: &str) -> Result<Option<Summary>> {
        let key = self.captured_key(id);
        let mut pipeline = redis::pipe();
        pipeline.cmd("STRLEN").arg(&key);
        pipeline.cmd("GETRANGE").arg(&key).arg(0).arg(HEAD - 1);
        let (length, head): (u64, Vec<u8>) = self.run_all(&pipeline).await?;
        Ok((length > 0).then(|| Summary::of_head(&head, length)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_without_a_summary_gets_one_from_its_head() {
        let mail = CapturedMail {
            mail_from: Some("a@example.org".parse().expect("an address")),
            rcpt_to: vec!["b@example.org".parse().expect("an address"); 12],
            subject: r#"x","message":"y"#.to_owned(),
            message: vec![b'm'; 30_000],
        };
        let json = serde_json::to_string(&mail).expect("JSON");
        let summary = Summary::of_head(&json.as_bytes()[..2_000], json.len() as u64);
        assert_eq!((summary.rcpt_to.len(), summary.recipients), (10, 12));
        assert_eq!((summary.subject, summary.mail_from), (mail.subject, mail.mail_from));
        assert!(summary.bytes.abs_diff(30_000) < 20, "{}", summary.bytes);
        let cut = Summary::of_head(&json.as_bytes()[..100], json.len() as u64);
        assert_eq!((cut.recipients, cut.subject.as_str()), (0, ""));
        assert_eq!(Summary::of_head(b"{garbage", 8).recipients, 0);
    }
}
