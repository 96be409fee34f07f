//! How fast mails are handed over one by one; a part of `scripts/bench`.
//!
//! `enqueue CALLERS MAILS [BYTES]`, with `REDIS_URL` set: so many callers share one `Postroom` and hand over templated mails, each waiting
//! for its answer before the next, and the mails a second are printed. With BYTES each mail has the same file of so many.
#![expect(clippy::print_stdout, reason = "the figure is the result")]

use std::{error::Error, iter::StepBy, ops::Range, sync::Arc, time::Instant};

use postroom_enqueue::{Attachment, Content, Mail, Postroom};
use serde_json::json;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut numbers = std::env::args().skip(1).map(|word| word.parse::<usize>());
    let (Some(callers), Some(mails)) = (numbers.next().transpose()?, numbers.next().transpose()?) else {
        return Err("how many callers, and how many mails?".into());
    };
    let file = numbers.next().transpose()?.map(file);
    let postroom = Arc::new(Postroom::connect(&std::env::var("REDIS_URL")?).await?);
    postroom.send(mail(0, file.clone())?).await?;
    let start = Instant::now();
    let calling: Vec<_> = (0..callers)
        .map(|caller| tokio::spawn(call(Arc::clone(&postroom), (caller..mails).step_by(callers), file.clone())))
        .collect();
    for caller in calling {
        caller.await??;
    }
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let rate = mails as f64 / start.elapsed().as_secs_f64();
    println!("{rate:.0}");
    Ok(())
}

async fn call(postroom: Arc<Postroom>, numbers: StepBy<Range<usize>>, file: Option<Attachment>) -> Result<(), Failure> {
    for number in numbers {
        postroom.send(mail(number, file.clone())?).await?;
    }
    Ok(())
}

fn mail(number: usize, file: Option<Attachment>) -> Result<Mail, Failure> {
    let mail: Mail = serde_json::from_value(json!({
        "to": format!("user{number}@example.org"),
        "template": "newsletter",
        "vars": {"name": format!("Reader {number}"), "title": "News", "intro": "Read this."},
    }))?;
    Ok(Mail { attachments: file.into_iter().collect(), ..mail })
}

/// Bytes that are neither text nor all the same.
fn file(size: usize) -> Attachment {
    let bytes: Vec<u8> = (0..size).map(|at| (at % 65_521 * 31 % 251) as u8).collect();
    Attachment {
        filename: "report.pdf".to_owned(),
        content_type: None,
        content_id: None,
        content: Content::from(bytes),
    }
}
