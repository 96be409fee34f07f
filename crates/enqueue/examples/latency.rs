//! How soon a mail is at the server after it was handed over, beside a program that sends it itself; a part of `scripts/bench`.
//!
//! `latency WORKER`, with `REDIS_URL` set: hands over 50 mails a second for 20 seconds to a worker of its own, which
//! sends them to a fake server in this process; halfway between two of them one goes there by a bare SMTP conversation.
//! A mail before them warms all up. Prints the median and the 99th percentile in milliseconds of the ones and of the others. Time runs from before a mail is
//! handed over, or a connection opened for it, until the server has read all of it.
#![expect(clippy::print_stdout, reason = "the figures are the result")]

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
const TEXT: &str = "How soon are you here?";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// When each recipient's mail set out.
type Departures = HashMap<String, Instant>;

#[tokio::main]
async fn main() -> Result<()> {
    let program = std::env::args().nth(1).ok_or("which worker?")?;
    let server = FakeSmtp::start().await;
    let worker = start_worker(&program, &server);
    worker.wait_for_line(" serves ", LIMIT).await;
    let postroom = Postroom::connect(&std::env::var("REDIS_URL")?).await?;
    // The first one makes connections, on all sides.
    hand_over(&postroom, "first@example.org".to_owned(), &mut Departures::new()).await?;
    server.wait_for(1, LIMIT).await;
    let (mut handed_over, mut bare) = (Departures::new(), Departures::new());
    let mut clock = tokio::time::interval(EVERY / 2);
    for number in 0..MAILS {
        clock.tick().await;
        hand_over(&postroom, format!("user{number}@example.org"), &mut handed_over).await?;
        clock.tick().await;
        send_bare(&server, format!("bare{number}@example.org"), &mut bare).await?;
    }
    server.wait_for(2 * MAILS + 1, LIMIT).await;
    println!("{} {}", told(&server, &handed_over), told(&server, &bare));
    Ok(())
}

fn start_worker(program: &str, server: &FakeSmtp) -> Process {
    let mut command = Command::new(program);
    command.env("SMTP_HOST", server.host()).env("SMTP_PORT", server.port().to_string()).env("SMTP_SECURITY", "none");
    Process::run(command)
}

async fn hand_over(postroom: &Postroom, address: String, departures: &mut Departures) -> Result<()> {
    let mail = Mail {
        to: vec![address.parse()?],
        subject: Some("Hello".to_owned()),
        text: Some(TEXT.into()),
        ..Mail::default()
    };
    departures.insert(address, Instant::now());
    postroom.send(mail).await?;
    Ok(())
}

/// What a program without any library does: a connection for the mail, and one command after the other.
async fn send_bare(server: &FakeSmtp, address: String, departures: &mut Departures) -> Result<()> {
    let rcpt = format!("RCPT TO:<{address}>");
    let message = format!("From: bench@example.org\r\nTo: {address}\r\nSubject: Hello\r\n\r\n{TEXT}\r\n.");
    departures.insert(address, Instant::now());
    let mut stream = BufReader::new(TcpStream::connect((server.host(), server.port())).await?);
    stream.get_ref().set_nodelay(true)?;
    read_reply(&mut stream).await?;
    for line in ["EHLO localhost", "MAIL FROM:<bench@example.org>", &rcpt, "DATA", &message, "QUIT"] {
        stream.write_all(format!("{line}\r\n").as_bytes()).await?;
        read_reply(&mut stream).await?;
    }
    Ok(())
}

/// Reads up to the last line of a reply, which must be no refusal.
async fn read_reply(stream: &mut BufReader<TcpStream>) -> Result<()> {
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        match (line.as_bytes().first(), line.as_bytes().get(3)) {
            (Some(b'2' | b'3'), Some(b'-')) => {}
            (Some(b'2' | b'3'), _) => return Ok(()),
            _ => return Err(format!("the server says {line:?}").into()),
        }
    }
}

/// The median and the 99th percentile, in milliseconds.
fn told(server: &FakeSmtp, departures: &Departures) -> String {
    let arrived = server.received();
    let taken = arrived.iter().filter_map(|mail| Some(mail.at - *departures.get(mail.rcpt_to.first()?)?));
    let mut taken: Vec<f64> = taken.map(|time| time.as_secs_f64() * 1_000.0).collect();
    taken.sort_by(f64::total_cmp);
    format!("{:.2} {:.2}", taken[taken.len() / 2], taken[taken.len() * 99 / 100])
}
