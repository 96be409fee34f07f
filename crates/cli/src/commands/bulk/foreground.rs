//! A bulk that is sent in the foreground (`--sync`).

use postroom_core::{Mail, Pace, QueueName};
use postroom_enqueue::Error;
use tokio::time::{Instant, sleep_until};

use super::Args;
use crate::{
    context::Context,
    exit::{CommandError, Exit, Result},
    handover::MailNeeds,
    rows::{BulkRow, RowFilter},
};

/// Counts of a bulk that was sent in the foreground.
#[derive(Debug, Default, serde::Serialize)]
struct SendCounts {
    sent: u64,
    failed: u64,
    unknown: u64,
    invalid: u64,
    duplicates: u64,
}

/// Sends all rows in the foreground, one after the other.
pub(super) async fn send_all(
    context: &Context,
    mut rows: RowFilter<'_>,
    first_rows: Vec<BulkRow>,
    shared: &Mail,
    args: &Args,
) -> Result<()> {
    let of_template =
        shared.template.as_ref().and_then(|name| context.postroom.settings().templates.get(name)?.queue.clone());
    let queue = args.terms.queue.clone().or(of_template).unwrap_or_else(QueueName::bulk);
    MailNeeds::of(shared, first_rows.iter().map(|row| &row.mail)).warn_about_envelope(context, &queue);
    let mut counts = SendCounts::default();
    let spacing = args.pace().map(Pace::spacing).unwrap_or_default();
    let (mut first_rows, mut next_at) = (first_rows.into_iter(), Instant::now());
    let outcome = loop {
        match first_rows.next().map_or_else(|| rows.next(), |row| Ok(Some(row))) {
            Ok(Some(row)) => {
                sleep_until(next_at).await;
                next_at = Instant::now() + spacing;
                if let Err(error) = send_one(context, row, shared, &queue, &mut counts).await {
                    break Err(error);
                }
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    rows.finish();
    outcome?;
    context.postroom.close().await;
    (counts.invalid, counts.duplicates) = (rows.invalid, rows.duplicates);
    counts.finish(context)
}

/// Sends and counts one mail. Only an error that would stop every mail is returned.
async fn send_one(
    context: &Context,
    row: BulkRow,
    shared: &Mail,
    queue: &QueueName,
    counts: &mut SendCounts,
) -> Result<()> {
    match context.postroom.send_now(&row.mail.over(shared), Some(queue)).await {
        Ok(_) => counts.sent += 1,
        Err(Error::NotSent(not_sent)) => {
            let error = CommandError::from(not_sent);
            context.console.note(format_args!("line {}: {}", row.line, error.message));
            if error.exit == Exit::InDoubt { counts.unknown += 1 } else { counts.failed += 1 }
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

impl SendCounts {
    /// Prints the counts; returns an error unless all mails were sent.
    fn finish(&self, context: &Context) -> Result<()> {
        let text = format!(
            "{} sent, {} failed, {} unknown, {} rows invalid, {} duplicates skipped",
            self.sent, self.failed, self.unknown, self.invalid, self.duplicates
        );
        context.console.result(self, || text.clone());
        match (self.failed, self.unknown) {
            (0, 0) => Ok(()),
            (0, _) => Err(CommandError::in_doubt(text)),
            _ => Err(CommandError::failed(text)),
        }
    }
}
