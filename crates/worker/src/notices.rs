//! Telling who wants to know that a batch is done: by a mail like any other.

use postroom_core::{
    BatchReport, JobId, Mail, Priority, QueueName, Result,
    store::{Due, JobTerms, NewJob, Notice},
};
use tracing::info;

use crate::office::Office;

/// Hands over what there is to be told of a queue's batches. The mail's id follows from the batch's, so that each is told once,
/// however many workers do this and whenever they die.
pub(crate) async fn hand_over(office: &Office, queue: &QueueName) -> Result<()> {
    let emails = QueueName::emails();
    let terms = JobTerms {
        priority: Priority::NORMAL,
        due: Due::Now,
        expires: None,
        policy: office.settings.policy_for(&emails, None),
        sensitive: false,
    };
    for Notice { batch, to } in office.store.notices(queue).await? {
        let id = JobId::derived(emails.clone(), &format!("the notice of {}", batch.id));
        let mail = Mail { to: vec![to], ..mail(&batch) };
        office.store.enqueue(&emails, None, &terms, &[NewJob { id: id.clone(), mail }]).await?;
        office.store.drop_notice(&batch.id).await?;
        info!(job = %id, "{} is done: {id} tells of it", batch.id);
    }
    Ok(())
}

fn mail(batch: &BatchReport) -> Mail {
    let counts = [
        ("sent", batch.sent),
        ("failed", batch.failed),
        ("cancelled", batch.cancelled),
        ("rows that were no mail", batch.invalid),
        ("addresses that came before", batch.duplicates),
    ];
    let told = counts.iter().filter(|(what, number)| *number > 0 || *what == "sent");
    let told: String = told.map(|(what, number)| format!("{what}: {number}\n")).collect();
    let (id, name, total) = (&batch.id, &batch.name, batch.total);
    Mail {
        subject: Some(subject(batch)),
        text: Some(format!(
            "{name} is done. It was created at {}.\n\nmails: {total}\n{told}\nMore about it: postroom status {id}\n",
            batch.created_at
        )),
        ..Mail::default()
    }
}

/// In one line, whatever the batch is called.
fn subject(batch: &BatchReport) -> String {
    let name: String = batch.name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{name} is done: {} of {} sent", batch.sent, batch.total)
}
