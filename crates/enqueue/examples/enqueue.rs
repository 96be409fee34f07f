//! How fast mails are handed over one by one; a part of `scripts/bench`.
//!
//! `enqueue CALLERS MAILS`, with `REDIS_URL` set: so many callers share one `Postroom` and hand over templated mails, each waiting for
//! its answer before the next, and the mails a second are printed.
#![expect(clippy::print_stdout, reason = "the figure is the result")]

use std::{error::Error, sync::Arc, time::Instant};

use postroom_enqueue::{Mail, Postroom};
use serde_json::json;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut numbers = std::env::args().skip(1).map(|word| word.parse::<usize>());
    let (Some(callers), Some(mails)) = (numbers.next().transpose()?, numbers.next().transpose()?) else {
        return Err("how many callers, and how many mails?".into());
    };
    let postroom = Arc::new(Postroom::connect(&std::env::var("REDIS_URL")?).await?);
    postroom.send(mail(0)?).await?;
    let start = Instant::now();
    let calling: Vec<_> =
        (0..callers).map(|caller| tokio::spawn(call(Arc::clone(&postroom), caller, callers, mails))).collect();
    for caller in calling {
        caller.await??;
    }
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let rate = mails as f64 / start.elapsed().as_secs_f64();
    println!("{rate:.0}");
    Ok(())
}

async fn call(postroom: Arc<Postroom>, caller: usize, callers: usize, mails: usize) -> Result<(), Failure> {
    for number in (caller..mails).step_by(callers) {
        postroom.send(mail(number)?).await?;
    }
    Ok(())
}

fn mail(number: usize) -> Result<Mail, Failure> {
    Ok(serde_json::from_value(json!({
        "to": format!("user{number}@example.org"),
        "template": "newsletter",
        "vars": {"name": format!("Reader {number}"), "title": "News", "intro": "Read this."},
    }))?)
}
