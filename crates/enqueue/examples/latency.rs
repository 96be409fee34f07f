//! Measures the time from enqueueing a mail until the server has read it; a part of
//! `scripts/bench`.
//!
//! Usage: `latency WORKER`, with `REDIS_URL` set. Starts the worker and a fake server, then
//! enqueues 50 mails a second for 20 seconds. Halfway between two of them, one mail is sent
//! directly by a bare SMTP session. One mail before the measurement warms up all connections.
//!
//! Prints median and 99th percentile in milliseconds, first of the enqueued and then of the bare
//! mails. Time runs from before a mail is enqueued, or before a connection is opened for it, until
//! the server has read all of it.
#![expect(clippy::print_stdout, reason = "the numbers are the result")]

use std::{
    collections::HashMap,
    error::Error,
    process::Command,
    time::{Duration, Instant},
};

use postroom_enqueue::{Mail, Postroom};
use postroom_testkit::{FakeSmtp, Process};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

const MAILS: usize = 1_000;
const EVERY: Duration = Duration::from_millis(20);
const LIMIT: Duration = Duration::from_secs(30);
const TEXT: &str = "A short text.";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Start time of the mail to each recipient.
type StartTimes = HashMap<String, Instant>;

#[tokio::main]
async fn main() -> Result<()> {
    let program = std::env::args().nth(1).ok_or("usage: latency WORKER")?;
    let server = FakeSmtp::start().await;
    let worker = start_worker(&program, &server);
    worker.wait_for_line(" serves ", LIMIT).await;
    let postroom = Postroom::connect(&std::env::var("REDIS_URL")?).await?;
    // The first mail opens all connections.
    enqueue(&postroom, "first@example.org".to_owned(), &mut StartTimes::new()).await?;
    server.wait_for(1, LIMIT).await;
    let (mut enqueued, mut bare) = (StartTimes::new(), StartTimes::new());
    let mut clock = tokio::time::interval(EVERY / 2);
    for number in 0..MAILS {
        clock.tick().await;
        enqueue(&postroom, format!("user{number}@example.org"), &mut enqueued).await?;
        clock.tick().await;
        send_bare(&server, format!("bare{number}@example.org"), &mut bare).await?;
    }
    server.wait_for(2 * MAILS + 1, LIMIT).await;
    println!("{} {}", percentiles(&server, &enqueued), percentiles(&server, &bare));
    Ok(())
}

fn start_worker(program: &str, server: &FakeSmtp) -> Process {
    let mut command = Command::new(program);
    command.env("SMTP_HOST", server.host()).env("SMTP_PORT", server.port().to_string()).env("SMTP_SECURITY", "none");
    Process::run(command)
}

async fn enqueue(postroom: &Postroom, address: String, start_times: &mut StartTimes) -> Result<()> {
    let mail = Mail {
        to: vec![address.parse()?],
        subject: Some("Hello".to_owned()),
        text: Some(TEXT.into()),
        ..Mail::default()
    };
    start_times.insert(address, Instant::now());
    postroom.send(mail).await?;
    Ok(())
}

/// Sends a mail over a new connection, with one SMTP command after the other.
async fn send_bare(server: &FakeSmtp, address: String, start_times: &mut StartTimes) -> Result<()> {
    let rcpt = format!("RCPT TO:<{address}>");
    let message = format!("From: bench@example.org\r\nTo: {address}\r\nSubject: Hello\r\n\r\n{TEXT}\r\n.");
    start_times.insert(address, Instant::now());
    let mut stream = BufReader::new(TcpStream::connect((server.host(), server.port())).await?);
    stream.get_ref().set_nodelay(true)?;
    read_reply(&mut stream).await?;
    for line in ["EHLO localhost", "MAIL FROM:<bench@example.org>", &rcpt, "DATA", &message, "QUIT"] {
        stream.write_all(format!("{line}\r\n").as_bytes()).await?;
        read_reply(&mut stream).await?;
    }
    Ok(())
}

/// Reads a reply up to its last line; a negative one is an error.
async fn read_reply(stream: &mut BufReader<TcpStream>) -> Result<()> {
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        match (line.as_bytes().first(), line.as_bytes().get(3)) {
            (Some(b'2' | b'3'), Some(b'-')) => {}
            (Some(b'2' | b'3'), _) => return Ok(()),
            _ => return Err(format!("the server replied {line:?}").into()),
        }
    }
}

/// Returns the median and the 99th percentile in milliseconds.
fn percentiles(server: &FakeSmtp, start_times: &StartTimes) -> String {
    let received = server.received();
    let latencies = received.iter().filter_map(|mail| Some(mail.at - *start_times.get(mail.rcpt_to.first()?)?));
    let mut latencies: Vec<f64> = latencies.map(|time| time.as_secs_f64() * 1_000.0).collect();
    latencies.sort_by(f64::total_cmp);
    format!("{:.2} {:.2}", latencies[latencies.len() / 2], latencies[latencies.len() * 99 / 100])
}
