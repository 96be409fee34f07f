//! Tests of the private Redis.

use postroom_testkit::{PrivateRedis, eventually, unique_prefix};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn data_survives_a_stop_and_a_kill() {
    let redis = PrivateRedis::start().await;
    assert!(redis.url().starts_with("redis+unix:///") && redis.url().ends_with(".sock"), "{}", redis.url());
    let url = redis.url();
    redis.ask(&["SET", "a", "1"]);
    redis.stop();
    redis.start_again().await;
    redis.ask(&["SET", "b", "2"]);
    // A kill loses only writes that are not yet in the file.
    eventually(LIMIT, "b is in the append-only file", async || {
        redis.ask(&["INFO", "persistence"]).contains("aof_buffer_length:0").then_some(())
    })
    .await;
    redis.kill();
    redis.start_again().await;
    assert_eq!(redis.ask(&["MGET", "a", "b", "c"]), "1\n2\n");
    assert_eq!(redis.url(), url);
}

#[tokio::test]
async fn a_tcp_server_restarts_on_the_same_port() {
    let redis = PrivateRedis::start_tcp().await;
    let address = redis.url().strip_prefix("redis://").expect("a TCP address").to_owned();
    assert_eq!(redis.ask(&["PING"]), "PONG");
    redis.kill();
    TcpStream::connect(&address).expect_err("the port is closed");
    redis.start_again().await;
    assert_eq!(redis.ask(&["ECHO", "hello"]), "hello");
    assert_eq!(redis.ask(&["LPUSH", "list"]), "-ERR wrong number of arguments for 'lpush' command");
}

#[tokio::test]
async fn the_recommended_configuration_is_set() {
    let redis = PrivateRedis::shared();
    for (name, value) in
        [("appendonly", "yes"), ("appendfsync", "everysec"), ("maxmemory-policy", "noeviction"), ("save", "")]
    {
        assert_eq!(redis.ask(&["CONFIG", "GET", name]), format!("{name}\n{value}"));
    }
    assert!(std::ptr::eq(redis, PrivateRedis::shared()));
    assert_ne!(unique_prefix(), unique_prefix());
}

#[tokio::test]
async fn a_paused_server_replies_after_it_resumes() {
    let redis = PrivateRedis::start().await;
    redis.pause();
    std::thread::scope(|scope| {
        let reply = scope.spawn(|| redis.ask(&["PING"]));
        std::thread::sleep(Duration::from_millis(100));
        assert!(!reply.is_finished());
        redis.resume();
        assert_eq!(reply.join().expect("a reply"), "PONG");
    });
    redis.pause();
    redis.stop();
}

#[tokio::test]
async fn dropping_a_server_removes_it() {
    let redis = PrivateRedis::start().await;
    let (pid, folder) = (redis.pid(), folder_of(&redis.url()));
    assert!(is_alive(pid) && Path::new(&folder).exists());
    drop(redis);
    assert!(!is_alive(pid) && !Path::new(&folder).exists());
}

/// Helper of the next test, which runs it in a child process and kills that.
#[test]
#[ignore = "a helper of a_server_ends_with_a_killed_test"]
fn run_until_killed() {
    let redis = PrivateRedis::shared();
    eprintln!("{} {}", redis.pid(), redis.url());
    std::thread::sleep(Duration::from_secs(60));
}

#[tokio::test]
async fn a_server_ends_with_a_killed_test() {
    let test = std::env::current_exe().expect("a path");
    let mut command = Command::new(test);
    command.args(["--ignored", "--exact", "--nocapture", "redis::run_until_killed"]);
    let mut test = postroom_testkit::Process::run(command);
    let line = test.wait_for_line("redis+unix://", LIMIT).await;
    let words: Vec<_> = line.split(' ').collect();
    let [.., pid, url] = &words[..] else { panic!("no address in {line:?}") };
    let pid = pid.parse().expect("a process id");
    assert!(is_alive(pid));
    test.kill();
    eventually(LIMIT, "Redis ends with the test process", async || (!is_alive(pid)).then_some(())).await;
    let folder = folder_of(url);
    eventually(LIMIT, "the folder of Redis is removed", async || (!Path::new(&folder).exists()).then_some(())).await;
}

fn folder_of(url: &str) -> String {
    url.trim_start_matches("redis+unix://").trim_end_matches("/redis.sock").to_owned()
}

/// Whether a process is alive. A zombie counts as dead.
fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
}
