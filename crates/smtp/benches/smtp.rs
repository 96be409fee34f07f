//! Benchmark of one mail on an open session. The server is a thread of this process that reads each
//! write and sends fixed replies.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    thread,
};

use criterion::{Criterion, criterion_group, criterion_main};
use postroom_smtp::{Address, Commit, ConnectionSecurity, Endpoint, Envelope, Session};
use tokio::runtime::Builder;

fn session(criterion: &mut Criterion) {
    let port = serve();
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let endpoint = Endpoint::new("127.0.0.1", port, ConnectionSecurity::None);
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

/// Starts a server for one connection and returns its port.
fn serve() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || reply(&listener.accept().expect("a connection").0));
    port
}

fn reply(stream: &TcpStream) {
    stream.set_nodelay(true).expect("no delay");
    let (mut lines, mut out) = (BufReader::new(stream), stream);
    let mut write = |bytes: &[u8]| out.write_all(bytes).is_ok();
    let (mut line, mut in_message) = (String::new(), false);
    let mut is_open = write(b"220 ready\r\n");
    while is_open {
        line.clear();
        is_open = lines.read_line(&mut line).is_ok_and(|read| read > 0);
        is_open &= match (in_message, line.trim_end()) {
            (true, ".") => {
                in_message = false;
                write(b"250 accepted\r\n")
            }
            (false, "DATA") => {
                in_message = true;
                write(b"250 ok\r\n250 ok\r\n354 go on\r\n")
            }
            (false, text) if text.starts_with("EHLO") => write(b"250-here\r\n250 PIPELINING\r\n"),
            _ => true,
        };
    }
}

criterion_group!(benches, session);
criterion_main!(benches);
