//! What a mail costs in a session that is kept, to a server that is there at once: a thread of this process that reads to the
//! end of each flight and answers as if it had understood.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    thread,
};

use criterion::{Criterion, criterion_group, criterion_main};
use postroom_smtp::{Address, Commit, Endpoint, Envelope, Security, Session};
use tokio::runtime::Builder;

fn session(criterion: &mut Criterion) {
    let port = serve();
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let endpoint = Endpoint::new("127.0.0.1", port, Security::None);
    let mut session = runtime.block_on(Session::connect(&endpoint)).expect("a session");
    let address = |text: &str| Address::parse(text).expect("an address");
    let envelope =
        Envelope::new(Some(address("shop@example.org")), vec![address("ada@example.net")]).expect("an envelope");
    let message = format!("Subject: hello\r\n\r\n{}", "Forty characters are in a line of this\r\n".repeat(50));
    criterion.bench_function("session/send_2_kb", |bencher| {
        bencher.iter(|| {
            let sent = session.send(&envelope, message.as_bytes(), async { Commit::Proceed });
            runtime.block_on(sent).expect("sent")
        });
    });
}

/// The port of a server for one connection.
fn serve() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || converse(&listener.accept().expect("a connection").0));
    port
}

fn converse(stream: &TcpStream) {
    stream.set_nodelay(true).expect("no delay");
    let (mut lines, mut out) = (BufReader::new(stream), stream);
    let mut say = |words: &[u8]| out.write_all(words).is_ok();
    let (mut line, mut in_message) = (String::new(), false);
    let mut goes_on = say(b"220 ready\r\n");
    while goes_on {
        line.clear();
        goes_on = lines.read_line(&mut line).is_ok_and(|read| read > 0);
        goes_on &= match (in_message, line.trim_end()) {
            (true, ".") => {
                in_message = false;
                say(b"250 taken\r\n")
            }
            (false, "DATA") => {
                in_message = true;
                say(b"250 ok\r\n250 ok\r\n354 go on\r\n")
            }
            (false, text) if text.starts_with("EHLO") => say(b"250-here\r\n250 PIPELINING\r\n"),
            _ => true,
        };
    }
}

criterion_group!(benches, session);
criterion_main!(benches);
