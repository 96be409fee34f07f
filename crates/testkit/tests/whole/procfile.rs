//! The Procfile, run by honcho.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use postroom_testkit::{Process, eventually};

use crate::{
    Fixture, LIMIT,
    fixture::{needed, root},
    sink::free_port,
};

#[tokio::test]
async fn honcho_runs_the_procfile() {
    let fixture = Fixture::new().with("MAIL_TRANSPORT", "capture");
    std::fs::copy(root().join("Procfile"), fixture.folder().join("Procfile")).expect("a copy");
    // honcho adds 100 to PORT for each process; web is the third one.
    let base = loop {
        let web = free_port();
        if let Some(base) = web.checked_sub(200) {
            break base;
        }
    };
    let mut command = fixture.command(needed("honcho"));
    command.args(["start", "--no-colour", "--port", &base.to_string()]);
    let mut honcho = Process::run(command);
    fixture.wait_for_processes().await;

    let mail = ["send", "--to", "ann@example.org", "--subject", "Hi", "--text", "Hello", "--wait", "60s"];
    let (job, _) = fixture.ok(&mail);
    assert_eq!(fixture.json(&["status", &job])["state"], "sent");
    let health = eventually(LIMIT, "the monitor answers at PORT", async || get(base + 200, "/healthz")).await;
    assert!(health.ends_with("ok\n"), "{health}");

    honcho.terminate();
    let status = honcho.wait(LIMIT).await;
    let output = honcho.stdout();
    // honcho prints how each process ended. Its own exit code is that of the signal.
    for name in ["worker.1", "beat.1", "web.1"] {
        assert!(output.lines().any(|line| line.contains(name) && line.contains("stopped")), "{name}: {output}");
    }
    assert_eq!(output.matches("(rc=0)").count(), 3, "{status}: {output}");
    assert!(fixture.ok(&["workers", "--json"]).0.is_empty(), "a process is still registered");
}

fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
