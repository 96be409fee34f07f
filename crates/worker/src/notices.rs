//! Telling who wants to know that a batch is done: an address by a mail like any other, a URL by what
//! [`webhooks`](crate::webhooks) does.

use std::sync::Arc;

use postroom_core::{
    Addressee, BatchReport, JobId, Mail, Mailbox, Priority, QueueName, Result,
    store::{Due, JobTerms, NewJob, Notice},
};
use tracing::info;

use crate::{office::Office, webhooks};

/// Hands over what there is to be told of a queue's batches.
pub(crate) async fn hand_over(office: &Arc<Office>, queue: &QueueName) -> Result<()> {
    for Notice { batch, to } in office.store.notices(queue).await? {
        match to {
            Addressee::Mail(to) => mail(office, &batch, &to).await?,
            Addressee::Url(_) => office.store.add_webhook(&batch.id).await?,
        }
    }
    webhooks::call_due(office, queue).await
}

/// Has it told by a mail, whose id follows from the batch's, so that each is told once, however many workers do this and
/// whenever they die.
pub(crate) async fn mail(office: &Office, batch: &BatchReport, to: &Mailbox) -> Result<()> {
    let emails = QueueName::emails();
    let terms = JobTerms {
        priority: Priority::NORMAL,
        due: Due::Now,
        expires: None,
        policy: office.settings.policy_for(&emails, None),
        sensitive: false,
    };
    let id = JobId::derived(emails.clone(), &format!("the notice of {}", batch.id));
    let mail = Mail { to: vec![to.clone()], ..words(batch) };
    office.store.enqueue(&emails, None, &terms, &[NewJob { id: id.clone(), mail }]).await?;
    office.store.drop_notice(&batch.id).await?;
    info!(job = %id, "{} is done: {id} tells of it", batch.id);
    Ok(())
}

fn words(batch: &BatchReport) -> Mail {
    let counts = [
        ("sent", batch.sent),
        ("failed", batch.failed),
        ("cancelled", batch.cancelled),
        ("rows that were no mail", batch.invalid),
        ("addresses that came before", batch.duplicates),
    ];
    let told = counts.iter().filter(|(what, number)| *number > 0 || *what == "sent");
    let told: String = told.map(|(what, number)| format!("{what}: {number}\n")).collect();
    let BatchReport { id, name, total, created_at, .. } = batch;
    let text = format!(
        "{name} is done. It was created at {created_at}.\n\nmails: {total}\n{told}\nMore about it: postroom status {id}\n"
    );
    Mail { subject: Some(subject(batch)), text: Some(text.into()), ..Mail::default() }
}

/// One short line, whatever another program called the batch.
fn subject(batch: &BatchReport) -> String {
    let name: String = batch.name.chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{name} is done: {} of {} sent", batch.sent, batch.total)
}
