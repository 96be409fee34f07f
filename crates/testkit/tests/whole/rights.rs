//! Redis users of `docs/redis.md`: each program works with the permissions of its user, and no user
//! has more than it needs.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::TcpStream,
    process::Output,
};

use postroom_testkit::{
    Action, FakeReceiver, FakeSmtp, Fault, FaultPhase, PrivateRedis, Process, eventually, target_bin,
};

use crate::{
    Fixture, LIMIT,
    fixture::{read, root},
    sink::free_port,
};

/// Redis with the documented users, and a fixture in which each program uses its own user.
struct AclFixture {
    redis: PrivateRedis,
    fixture: Fixture,
    smtp: FakeSmtp,
    receiver: FakeReceiver,
    monitor_port: u16,
}

/// Returns the `ACL SETUSER` commands of the page, with the password `secret`.
fn users() -> Vec<Vec<String>> {
    let page = read("docs/redis.md");
    let lines = page.lines().filter(|line| line.starts_with("ACL SETUSER postroom-"));
    let words = |line: &str| line.replace("PASSWORD", "secret").split(' ').map(str::to_owned).collect();
    lines.map(words).collect()
}

/// Creates the users. An older server refuses commands that only a newer one knows.
fn create_users(redis: &PrivateRedis) {
    let created: Vec<String> = users()
        .iter()
        .map(|line| {
            let words: Vec<&str> = line.iter().map(String::as_str).collect();
            let answer = redis.ask(&words);
            let is_newer = words[3..] == ["+waitaof"] && answer.contains("Unknown command");
            assert!(answer == "OK" || is_newer, "{line:?}: {answer}");
            words[2].to_owned()
        })
        .collect();
    let names: BTreeSet<&str> = created.iter().map(String::as_str).collect();
    assert_eq!(names, ["postroom-app", "postroom-beat", "postroom-monitor", "postroom-worker"].into());
    // Add an administrator with all permissions.
    assert_eq!(redis.ask(&["ACL", "SETUSER", "admin", "on", ">secret", "~*", "&*", "+@all"]), "OK");
}

impl AclFixture {
    async fn open() -> Self {
        let redis = PrivateRedis::start().await;
        create_users(&redis);
        let smtp = FakeSmtp::start().await;
        let url = format!("{}?user=postroom-app&pass=secret", redis.url());
        let fixture = Fixture::at(url, "postroom".to_owned()).with("BIND", "127.0.0.1");
        let templates = root().join("templates").display().to_string();
        let fixture = fixture.with("TEMPLATES_DIR", &templates);
        fixture.file("postroom.toml", &configuration(&smtp));
        fixture.file("people.csv", "to,name\na@example.org,Ann\nb@example.org,Ben\nc@example.org,Cem\n");
        fixture.file("large.txt", &"A line of a large body.\n".repeat(2_000));
        Self { redis, fixture, smtp, receiver: FakeReceiver::start(), monitor_port: free_port() }
    }

    /// Starts a program with its own user.
    fn start(&self, program: &str) -> Process {
        let mut command = self.fixture.command(target_bin(program));
        command.env("REDIS_URL", format!("{}?user={program}&pass=secret", self.redis.url()));
        command.env("MONITOR_PORT", self.monitor_port.to_string()).env("LOG_LEVEL", "info");
        Process::run(command)
    }

    /// Runs a command whose exit code must be one of `codes`. Some failures are expected, because
    /// only the permissions are tested.
    fn run(&self, codes: &[i32], args: &[&str]) -> Output {
        let output = self.fixture.postroom(args);
        let code = output.status.code().expect("an exit code");
        assert!(codes.contains(&code), "postroom {args:?}: {output:?}");
        output
    }

    fn send(&self, more: &[&str]) -> String {
        let usual = ["send", "--subject", "Hi", "--text", "Hello", "--to"];
        self.fixture.ok(&[&usual, more].concat()).0
    }

    fn get(&self, path: &str) -> Option<String> {
        self.request(&format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"))
    }

    /// Submits a form with the token of the page `/queues`.
    fn submit(&self, action: &str) {
        let page = self.get("/queues").expect("the monitor responds");
        let (_, rest) = page.split_once("name=\"token\" value=\"").unwrap_or_else(|| panic!("no form in {page}"));
        let body = format!("token={}", rest.split('"').next().unwrap_or_default());
        let head = format!("POST {action} HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\n", body.len());
        let kind = "Content-Type: application/x-www-form-urlencoded";
        let response = self.request(&format!("{head}{kind}\r\n\r\n{body}")).expect("the monitor responds");
        assert!(response.contains(" 303 "), "{action}: {response}");
    }

    fn request(&self, request: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.monitor_port)).ok()?;
        stream.write_all(request.as_bytes()).ok()?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Returns the commands that Redis refused. `CONFIG` is ignored: Postroom tries it on an older
    /// Redis, and no user has the permission.
    fn refused(&self) -> Vec<String> {
        let log = self.redis.ask(&["ACL", "LOG"]);
        let entries = log.split("count\n").skip(1);
        entries
            .filter(|entry| !entry.contains("\nconfig|get\n") && !entry.contains("\nconfig\n"))
            .map(str::to_owned)
            .collect()
    }
}

fn configuration(smtp: &FakeSmtp) -> String {
    format!(
        "[transport.default]\nkind = 'smtp'\nhost = '{}'\nport = {}\nsecurity = 'none'\n\
         connections = 3\nrate = '1000/s'\n\
         [transport.inbox]\nkind = 'capture'\n\
         [queue.kept]\ntransports = ['inbox']\nquota = 1000\nper = 'day'\n\
         [queue.bulk]\nrate = '1000/s'\n\
         [domain.'limited.example']\nrate = '1/m'\n\
         [[schedule]]\nname = 'tick'\nevery = '1s'\nto = ['tick@example.org']\ntemplate = 'newsletter'\n\
         vars = {{ name = 'Ann', title = 'News', intro = 'Hello' }}\n\
         [[schedule]]\nname = 'all'\nevery = '1h'\neach = true\nto = ['a@example.org', 'b@example.org']\n\
         template = 'newsletter'\nvars = {{ name = 'Ann', title = 'News', intro = 'Hello' }}\n",
        smtp.host(),
        smtp.port()
    )
}

/// Uses every feature of the programs. Afterwards Redis has refused no command.
#[tokio::test]
async fn each_program_works_with_its_own_user() {
    let acl = AclFixture::open().await;
    let worker = acl.start("postroom-worker");
    worker.wait_for_line(" serves ", LIMIT).await;
    let beat = acl.start("postroom-beat");
    let monitor = acl.start("postroom-monitor");
    acl.fixture.wait_for_processes().await;

    acl.smtp.fault(Fault::at(FaultPhase::Rcpt, Action::reply(450, "4.2.1 later")).recipient("later@example.org"));
    acl.smtp.fault(Fault::at(FaultPhase::Rcpt, Action::reply(550, "5.1.1 nobody")).recipient("never@example.org"));
    send_all_ways(&acl).await;
    run_actions(&acl);
    run_listings(&acl);
    wait_for_schedules(&acl).await;
    use_the_monitor(&acl);
    stop([worker, beat, monitor]).await;
    assert_eq!(acl.refused(), Vec::<String>::new());
}

async fn send_all_ways(acl: &AclFixture) {
    acl.send(&["ann@example.org", "--wait", "60s"]);
    acl.send(&["ann@example.org", "--durable", "--key", "once"]);
    acl.send(&["ann@example.org", "--html", "<p>Hi</p>", "--queue", "kept", "--wait", "60s"]);
    acl.send(&["x@limited.example"]);
    acl.send(&["y@limited.example"]);
    acl.fixture.ok(&[
        "send",
        "--to",
        "b@example.org",
        "--subject",
        "S",
        "--text",
        "@large.txt",
        "--attach",
        "large.txt",
    ]);
    acl.run(&[1], &["send", "--to", "never@example.org", "--subject", "S", "--text", "T", "--wait", "60s"]);
    let template = ["--template", "newsletter", "--var", "title=News", "--var", "intro=Hi", "--csv", "people.csv"];
    let bulk = |more: &[&str]| acl.fixture.ok(&[&["bulk"], &template[..], more].concat()).0;
    let url = acl.receiver.url("/hook");
    let paced = bulk(&["--rate", "600/m", "--notify", &url, "--key", "june", "--durable"]);
    acl.fixture.ok(&["status", &paced, "--wait", "60s"]);
    bulk(&["--notify", "boss@example.org", "--strict"]);
    let calls = acl.receiver.wait_for(1, LIMIT).await;
    assert!(calls[0].line.starts_with("POST /hook"), "{calls:?}");
}

fn run_actions(acl: &AclFixture) {
    let later = acl.send(&["ann@example.org", "--in", "1h"]);
    acl.fixture.ok(&["cancel", &later]);
    acl.fixture.ok(&["retry", &later]);
    let deferred = acl.send(&["later@example.org"]);
    acl.run(&[0, 5], &["status", &deferred, "--wait", "1s"]);
    acl.fixture.ok(&["retry", &deferred]);
    acl.fixture.ok(&["cancel", &deferred]);
    acl.run(&[7], &["resolve", &later, "sent"]);
    acl.fixture.ok(&["pause", "bulk"]);
    let batch = ["bulk", "--template", "newsletter", "--csv", "people.csv", "--var", "title=N", "--var", "intro=I"];
    let batch = acl.fixture.ok(&batch).0;
    for words in [&["pause", &batch][..], &["resume", &batch], &["limits", "set", &batch, "10/m"], &["cancel", &batch]]
    {
        acl.fixture.ok(words);
    }
    acl.fixture.ok(&["retry", &batch]);
    for words in
        [&["resume", "bulk"][..], &["limits", "set", "queue.bulk", "500/s"], &["limits", "unset", "queue.bulk"]]
    {
        acl.fixture.ok(words);
    }
}

fn run_listings(acl: &AclFixture) {
    for words in ["queues", "workers", "limits", "list", "list --batches", "list --state sent", "schedule list"] {
        acl.fixture.ok(&words.split(' ').collect::<Vec<_>>());
    }
    for state in ["scheduled", "queued", "sending", "deferred", "failed", "unknown", "cancelled"] {
        acl.fixture.ok(&["list", "--state", state]);
    }
    acl.fixture.ok(&["list", "--address", "ann@example.org"]);
    acl.fixture.ok(&["schedule", "run", "tick", "--wait", "60s"]);
    let batch = acl.fixture.json(&["list", "--batches", "--limit", "1"])["id"].as_str().expect("an id").to_owned();
    acl.fixture.ok(&["list", "--batch", &batch]);
    acl.run(&[0, 1], &["doctor", "--send-to", "ann@example.org"]);
}

async fn wait_for_schedules(acl: &AclFixture) {
    eventually(LIMIT, "a schedule has fired", async || {
        let sent = acl.smtp.received();
        sent.iter().any(|mail| mail.rcpt_to.iter().any(|to| to.contains("tick@"))).then_some(())
    })
    .await;
}

fn use_the_monitor(acl: &AclFixture) {
    let html = ["send", "--to", "ann@example.org", "--subject", "S", "--html", "<p>Hi</p>", "--in", "1h"];
    let job = acl.fixture.ok(&html).0;
    acl.fixture.ok(&["pause", "bulk"]);
    let words = ["bulk", "--template", "newsletter", "--csv", "people.csv", "--var", "title=N", "--var", "intro=I"];
    let batch = acl.fixture.ok(&words).0;
    let pages = ["/", "/jobs", "/jobs?state=sent", "/batches", "/queues", "/schedules", "/captured", "/metrics"];
    let api = ["overview", "jobs", "batches", "queues", "workers", "schedules"].map(|name| format!("/api/{name}"));
    let own = [
        format!("/jobs/{job}"),
        format!("/jobs/{job}/preview"),
        format!("/batches/{batch}"),
        format!("/api/jobs/{job}"),
    ];
    for page in pages.iter().map(ToString::to_string).chain(api).chain(own) {
        let shown = acl.get(&page).expect("the monitor responds");
        assert!(shown.contains(" 200 OK"), "{page}: {shown}");
    }
    let captured = acl.get("/captured").expect("the monitor responds");
    let id = captured.split("href=\"/captured/").nth(1).and_then(|rest| rest.split('"').next()).expect("a mail");
    for part in ["", "/preview", "/raw"] {
        let shown = acl.get(&format!("/captured/{id}{part}")).expect("the monitor responds");
        assert!(shown.contains(" 200 OK"), "{part}: {shown}");
    }
    for action in ["cancel", "retry", "cancel"] {
        acl.submit(&format!("/jobs/{job}/{action}"));
    }
    for action in ["pause", "resume", "cancel"] {
        acl.submit(&format!("/batches/{batch}/{action}"));
    }
    for action in ["resume", "pause", "resume"] {
        acl.submit(&format!("/queues/bulk/{action}"));
    }
}

async fn stop(programs: [Process; 3]) {
    for mut program in programs {
        program.terminate();
        let status = program.wait(LIMIT).await;
        assert!(status.success(), "{status}\n{}", program.stderr());
    }
}

/// A stolen password of a user gives no further permissions.
#[tokio::test]
async fn no_user_has_further_permissions() {
    let redis = PrivateRedis::start_tcp().await;
    create_users(&redis);
    redis.ask(&["SET", "{other:emails}:secret", "1"]);
    for user in ["postroom-app", "postroom-worker", "postroom-beat", "postroom-monitor"] {
        let mut session = AclSession::open(&redis, user);
        assert_eq!(session.ask("PING"), "+PONG");
        for command in [
            "FLUSHALL",
            "FLUSHDB",
            "KEYS *",
            "SCAN 0",
            "CONFIG GET requirepass",
            "CONFIG SET requirepass x",
            "ACL LIST",
            "ACL SETUSER postroom-app +@all",
            "CLIENT LIST",
            "CLIENT KILL TYPE normal",
            "SHUTDOWN",
            "SCRIPT FLUSH",
            "EVAL return(1) 0",
            "FUNCTION LIST",
            "MODULE LIST",
            "MONITOR",
            "REPLICAOF NO ONE",
            "SAVE",
            "PUBLISH x y",
            "SUBSCRIBE x",
            "GET {other:emails}:secret",
            "GET postroom",
            "SET {postroom2:emails}:x 1",
            "HGETALL {other:system}:processes",
        ] {
            let answer = session.ask(command);
            let is_unknown = answer.starts_with("-ERR unknown");
            assert!(answer.starts_with("-NOPERM") || is_unknown, "{user}: {command}: {answer}");
        }
    }
}

/// Connection of a user, for replies of one line.
struct AclSession(TcpStream);

impl AclSession {
    fn open(redis: &PrivateRedis, user: &str) -> Self {
        let stream = TcpStream::connect(redis.addr()).expect("connected to Redis");
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        let mut session = Self(stream);
        assert_eq!(session.ask(&format!("AUTH {user} secret")), "+OK");
        session
    }

    fn ask(&mut self, command: &str) -> String {
        self.0.write_all(format!("{command}\r\n").as_bytes()).expect("the command is sent");
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\r\n") {
            self.0.read_exact(&mut byte).expect("a reply");
            line.push(byte[0]);
        }
        String::from_utf8_lossy(&line).trim_end().to_owned()
    }
}

/// A missing permission is a configuration error. The program ends and shows it, and does not
/// retry.
#[tokio::test]
async fn a_program_without_permissions_ends() {
    let redis = PrivateRedis::start().await;
    assert_eq!(redis.ask(&["ACL", "SETUSER", "ann", "on", ">secret", "~{other:*", "+ping", "+info"]), "OK");
    let fixture = Fixture::at(format!("{}?user=ann&pass=secret", redis.url()), "postroom".to_owned());
    let fixture = fixture.with("MAIL_TRANSPORT", "capture");
    for (program, args) in
        [("postroom", &["queues"][..]), ("postroom", &["doctor"]), ("postroom-worker", &[]), ("postroom-beat", &[])]
    {
        let mut command = fixture.command(target_bin(program));
        command.args(args);
        let mut process = Process::run(command);
        let status = process.wait(LIMIT).await;
        let stderr = process.stderr();
        assert_eq!(status.code(), Some(2), "{program}: {stderr}");
        for word in ["REDIS_URL", "NOPERM", "docs/redis.md", "user ann", "{postroom:"] {
            assert!(stderr.contains(word), "{program} does not show {word:?}: {stderr}");
        }
    }
}
