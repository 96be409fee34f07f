//! Notices by mail.

use postroom_core::{
    BatchReport, JobId, Mail, Mailbox, Policy, Priority, QueueName, Result, Store,
    store::{Due, JobTerms, NewJob},
};
use tracing::info;

/// Enqueues notices as mails of the queue `emails`.
#[derive(Debug, Clone)]
pub(super) struct MailNotices {
    store: Store,
    policy: Policy,
}

impl MailNotices {
    pub(super) fn new(store: Store, policy: Policy) -> Self {
        Self { store, policy }
    }

    /// Enqueues the notice. Its job id is derived from the batch's id, so several workers, or a
    /// worker that dies, enqueue it once.
    pub(super) async fn send(&self, batch: &BatchReport, to: &Mailbox) -> Result<()> {
        let emails = QueueName::emails();
        let terms = JobTerms {
            priority: Priority::NORMAL,
            due: Due::Now,
            expires: None,
            policy: self.policy.clone(),
            sensitive: false,
        };
        let id = JobId::derived(emails.clone(), &format!("the notice of {}", batch.id));
        let mail = Mail { to: vec![to.clone()], ..compose(batch) };
        self.store.enqueue(&emails, None, &terms, &[NewJob { id: id.clone(), mail }]).await?;
        self.store.drop_notice(&batch.id).await?;
        info!(job = %id, "batch {} is done; enqueued the notice {id}", batch.id);
        Ok(())
    }
}

fn compose(batch: &BatchReport) -> Mail {
    let counts = [
        ("sent", batch.sent),
        ("failed", batch.failed),
        ("cancelled", batch.cancelled),
        ("rows without a valid mail", batch.invalid),
        ("duplicate addresses", batch.duplicates),
    ];
    let shown = counts.iter().filter(|(what, number)| *number > 0 || *what == "sent");
    let counts: String = shown.map(|(what, number)| format!("{what}: {number}\n")).collect();
    let BatchReport { id, name, total, created_at, .. } = batch;
    let text = format!(
        "{name} is done. It was created at {created_at}.\n\nmails: {total}\n{counts}\nDetails: postroom status {id}\n"
    );
    Mail { subject: Some(subject(batch)), text: Some(text.into()), ..Mail::default() }
}

/// Returns one short line, whatever the batch's name contains.
fn subject(batch: &BatchReport) -> String {
    let name: String = batch.name.chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{name} is done: {} of {} sent", batch.sent, batch.total)
}
