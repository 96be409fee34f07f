//! Slow clients at the ports of monitor, worker and beat, and wrong passwords at the monitor.

use super::ScenarioRun;
use crate::report::Report;
use crate::testbed::Testbed;
use postroom_testkit::{PrivateRedis, Process, SlowClients, latencies, p99};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;

const START_LIMIT: Duration = Duration::from_secs(60);
const CLIENTS: usize = 2_000;
const PASSWORD: &str = "open sesame";
/// `x:open sesame` and `x:wrong`.
const RIGHT: &str = "Basic eDpvcGVuIHNlc2FtZQ==";
const WRONG: &str = "Basic eDp3cm9uZw==";

/// Occupies each port in turn with 2,000 slow clients, then sends wrong passwords from 10,000
/// addresses to the monitor.
pub(super) async fn slow(run: ScenarioRun, mut report: Report) -> Report {
    let testbed = run.testbed(PrivateRedis::start().await, None).await;
    let most = run.scale.seconds(0.5, 3.0);
    let ports = [
        (
            "monitor",
            "postroom-monitor",
            vec![("MONITOR_PORT", "0"), ("MONITOR_PASSWORD", PASSWORD)],
            "listening on http://",
        ),
        ("worker", "postroom-worker", vec![("HEALTH_PORT", "0")], "health at http://"),
        ("beat", "postroom-beat", vec![("HEALTH_PORT", "0")], "health at http://"),
    ];
    for (name, program, env, line) in ports {
        let (process, server) = start(&testbed, program, &env, line).await;
        let clients = SlowClients::start(server, CLIENTS).await;
        let all = latencies(server, "/healthz", run.scale.pick(1_000, 100)).await;
        report.note(format!(
            "{name}: {} connections of slow clients; response to a healthy client: median {:.1} ms, p99 {:.1} ms",
            clients.connections(),
            millis(all[all.len() / 2]),
            millis(p99(&all))
        ));
        report.within(&format!("{name}: 99 of 100 responses"), most, Some(p99(&all)));
        let lines = process.stderr().lines().count();
        report.at_most(&format!("log lines of the {name}"), 30, lines);
        drop(clients);
        if name == "monitor" {
            let taken = guess(server, run.scale.pick(10_000, 500)).await;
            let slowest = taken.as_ref().map_or(0.0, |all| millis(all[all.len() - 1]));
            report.note(format!("maximum response time for the right password: {slowest:.1} ms"));
            report.within("99 of 100 responses to the right password", most, taken.map(|all| p99(&all)));
        }
    }
    report
}

async fn start(testbed: &Testbed, program: &str, env: &[(&str, &str)], line: &str) -> (Process, SocketAddr) {
    let mut command = testbed.command(program);
    command.envs(env.iter().copied());
    let process = Process::run(command);
    let found = process.wait_for_line(line, START_LIMIT).await;
    let address = found.split("http://").nth(1).and_then(|rest| rest.trim().split('/').next()).unwrap_or_default();
    let address = address.parse().expect("an address with a port");
    postroom_testkit::eventually(START_LIMIT, "the program is healthy", async || {
        scrape(Ipv4Addr::LOCALHOST, address, "/healthz", RIGHT).await.filter(|status| *status == 200)
    })
    .await;
    (process, address)
}

/// Returns the sorted response times for the right password. `None` if it was refused, or a wrong
/// password was accepted.
async fn guess(server: SocketAddr, addresses: usize) -> Option<Vec<Duration>> {
    let (mut tasks, mut all) = (JoinSet::new(), Vec::new());
    let mut turn = tokio::time::interval(Duration::from_millis(10));
    for n in 0..addresses {
        turn.tick().await;
        let [_, _, high, low] = u32::try_from(n).unwrap_or_default().to_be_bytes();
        tasks.spawn(scrape(Ipv4Addr::new(127, 7, high, low), server, "/metrics", WRONG));
        if n % 10 == 0 {
            let start = Instant::now();
            let status = scrape(Ipv4Addr::LOCALHOST, server, "/metrics", RIGHT).await;
            all.push(start.elapsed());
            status.filter(|status| *status == 200)?;
        }
    }
    let refused = tasks.join_all().await;
    all.sort();
    refused.iter().all(|status| *status == Some(401)).then_some(all)
}

/// Sends one request and returns the status.
async fn scrape(from: Ipv4Addr, server: SocketAddr, path: &str, password: &str) -> Option<u16> {
    let socket = TcpSocket::new_v4().ok()?;
    socket.bind((from, 0).into()).ok()?;
    let mut stream = socket.connect(server).await.ok()?;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nAuthorization: {password}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response).await.ok()?;
    String::from_utf8_lossy(&response).split(' ').nth(1)?.parse().ok()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
