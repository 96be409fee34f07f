//! The Procfile, run for real by honcho.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use postroom_testkit::{Process, eventually};

use crate::{
    LIMIT, Site,
    sink::free_port,
    site::{needed, root},
};

#[tokio::test]
async fn honcho_runs_it() {
    let site = Site::new().with("MAIL_TRANSPORT", "capture");
    std::fs::copy(root().join("Procfile"), site.folder().join("Procfile")).expect("a copy");
    // Each kind of process is given the port a hundred above the one before; web is the third.
    let base = loop {
        let web = free_port();
        if let Some(base) = web.checked_sub(200) {
            break base;
        }
    };
    let mut command = site.command(needed("honcho"));
    command.args(["start", "--no-colour", "--port", &base.to_string()]);
    let mut honcho = Process::run(command);
    site.is_staffed().await;

    let mail = ["send", "--to", "ann@example.org", "--subject", "Hi", "--text", "Hello", "--wait", "60s"];
    let (job, _) = site.ok(&mail);
    assert_eq!(site.json(&["status", &job])["state"], "sent");
    let health = eventually(LIMIT, "the monitor answers at PORT", async || get(base + 200, "/healthz")).await;
    assert!(health.ends_with("ok\n"), "{health}");

    honcho.terminate();
    let status = honcho.wait(LIMIT).await;
    let said = honcho.stdout();
    // honcho tells how each of them ended. Its own code is that of the signal.
    for name in ["worker.1", "beat.1", "web.1"] {
        assert!(said.lines().any(|line| line.contains(name) && line.contains("stopped")), "{name}: {said}");
    }
    assert_eq!(said.matches("(rc=0)").count(), 3, "{status}: {said}");
    assert!(site.ok(&["workers", "--json"]).0.is_empty(), "somebody is left");
}

fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
