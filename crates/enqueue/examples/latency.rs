//! How soon a mail is on the wire after it was handed over; a part of `scripts/bench`.
//!
//! `latency WORKER`, with `REDIS_URL` set: hands over 50 mails a second for 20 seconds to a worker of its own, which
//! sends them to a fake server in this process, and prints the median and the 99th percentile in milliseconds. Time
//! runs from before the mail is handed over until the server has read all of it.
#![expect(clippy::print_stdout, reason = "the figures are the result")]

use std::{
    collections::HashMap,
    error::Error,
    process::Command,
    time::{Duration, Instant},
};

use postroom_enqueue::{Mail, Postroom};
use postroom_testkit::{FakeSmtp, Process};

const MAILS: usize = 1_000;
const EVERY: Duration = Duration::from_millis(20);
const LIMIT: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let program = std::env::args().nth(1).ok_or("which worker?")?;
    let server = FakeSmtp::start().await;
    let worker = start_worker(&program, &server);
    worker.wait_for_line(" serves ", LIMIT).await;
    let handed_over = hand_over(&Postroom::connect(&std::env::var("REDIS_URL")?).await?).await?;
    let mut latencies: Vec<Duration> = server
        .wait_for(MAILS, LIMIT)
        .await
        .iter()
        .filter_map(|mail| Some(mail.at - *handed_over.get(mail.rcpt_to.first()?)?))
        .collect();
    latencies.sort();
    println!("{:.1} {:.1}", millis(latencies[MAILS / 2]), millis(latencies[MAILS * 99 / 100]));
    Ok(())
}

fn start_worker(program: &str, server: &FakeSmtp) -> Process {
    let mut command = Command::new(program);
    command.env("SMTP_HOST", server.host()).env("SMTP_PORT", server.port().to_string()).env("SMTP_SECURITY", "none");
    Process::run(command)
}

/// When each recipient's mail was handed over.
async fn hand_over(postroom: &Postroom) -> Result<HashMap<String, Instant>, Box<dyn Error>> {
    let mut handed_over = HashMap::new();
    let mut clock = tokio::time::interval(EVERY);
    for number in 0..MAILS {
        clock.tick().await;
        let address = format!("user{number}@example.org");
        let mail = Mail {
            to: vec![address.parse()?],
            subject: Some("Hello".to_owned()),
            text: Some("How soon are you here?".to_owned()),
            ..Mail::default()
        };
        handed_over.insert(address, Instant::now());
        postroom.send(mail).await?;
    }
    Ok(handed_over)
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}
