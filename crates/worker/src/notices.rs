//! Notices that a batch is done: by mail to an address, by webhook to a URL.

use std::sync::Arc;

use postroom_core::{
    Addressee, BatchReport, JobId, Mail, Mailbox, Priority, QueueName, Result,
    store::{Due, JobTerms, NewJob, Notice},
};
use tracing::info;

use crate::{webhooks, worker::Worker};

/// Sends all notices of a queue that are due.
pub(crate) async fn dispatch(worker: &Arc<Worker>, queue: &QueueName) -> Result<()> {
    for Notice { batch, to } in worker.store.notices(queue).await? {
        match to {
            Addressee::Mail(to) => mail(worker, &batch, &to).await?,
            Addressee::Url(_) => worker.store.add_webhook(&batch.id).await?,
        }
    }
    webhooks::call_due(worker, queue).await
}

/// Enqueues the notice as a mail. Its job id is derived from the batch's id, so several workers, or
/// a worker that dies, enqueue it once.
pub(crate) async fn mail(worker: &Worker, batch: &BatchReport, to: &Mailbox) -> Result<()> {
    let emails = QueueName::emails();
    let terms = JobTerms {
        priority: Priority::NORMAL,
        due: Due::Now,
        expires: None,
        policy: worker.settings.policy_for(&emails, None),
        sensitive: false,
    };
    let id = JobId::derived(emails.clone(), &format!("the notice of {}", batch.id));
    let mail = Mail { to: vec![to.clone()], ..compose(batch) };
    worker.store.enqueue(&emails, None, &terms, &[NewJob { id: id.clone(), mail }]).await?;
    worker.store.drop_notice(&batch.id).await?;
    info!(job = %id, "batch {} is done; enqueued the notice {id}", batch.id);
    Ok(())
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
