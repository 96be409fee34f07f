//! Measures how fast single mails are enqueued; a part of `scripts/bench`.
//!
//! Usage: `enqueue CALLERS MAILS [BYTES]`, with `REDIS_URL` set. CALLERS tasks share one
//! `Postroom`. Each enqueues a templated mail, waits for its id, and goes on until MAILS are
//! enqueued. With BYTES, each mail has the same attachment of that size. Prints the number of mails
//! per second.
#![expect(clippy::print_stdout, reason = "the number is the result")]

use std::{error::Error, iter::StepBy, ops::Range, sync::Arc, time::Instant};

use postroom_enqueue::{Attachment, Content, Mail, Postroom};
use serde_json::json;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

#[tokio::main]
async fn main() -> Result<()> {
    let mut numbers = std::env::args().skip(1).map(|arg| arg.parse::<usize>());
    let (Some(callers), Some(mails)) = (numbers.next().transpose()?, numbers.next().transpose()?) else {
        return Err("usage: enqueue CALLERS MAILS [BYTES]".into());
    };
    let file = numbers.next().transpose()?.map(file);
    let postroom = Arc::new(Postroom::connect(&std::env::var("REDIS_URL")?).await?);
    postroom.send(mail(0, file.clone())?).await?;
    let start = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| tokio::spawn(enqueue(Arc::clone(&postroom), (caller..mails).step_by(callers), file.clone())))
        .collect();
    for task in tasks {
        task.await??;
    }
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let rate = mails as f64 / start.elapsed().as_secs_f64();
    println!("{rate:.0}");
    Ok(())
}

async fn enqueue(postroom: Arc<Postroom>, numbers: StepBy<Range<usize>>, file: Option<Attachment>) -> Result<()> {
    for number in numbers {
        postroom.send(mail(number, file.clone())?).await?;
    }
    Ok(())
}

fn mail(number: usize, file: Option<Attachment>) -> Result<Mail> {
    let mail: Mail = serde_json::from_value(json!({
        "to": format!("user{number}@example.org"),
        "template": "newsletter",
        "vars": {"name": format!("Reader {number}"), "title": "News", "intro": "Read this."},
    }))?;
    Ok(Mail { attachments: file.into_iter().collect(), ..mail })
}

/// Returns an attachment of this size with varying binary content.
fn file(size: usize) -> Attachment {
    let bytes: Vec<u8> = (0..size).map(|at| (at % 65_521 * 31 % 251) as u8).collect();
    Attachment {
        filename: "report.pdf".to_owned(),
        content_type: None,
        content_id: None,
        content: Content::from(bytes),
    }
}
