//! The private Redis.

use postroom_testkit::{PrivateRedis, eventually, unique_prefix};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn it_keeps_its_data_when_stopped_and_nearly_all_when_killed() {
    let redis = PrivateRedis::start().await;
    assert!(redis.url().starts_with("redis+unix:///") && redis.url().ends_with(".sock"), "{}", redis.url());
    let url = redis.url();
    redis.ask(&["SET", "a", "1"]);
    redis.stop();
    redis.start_again().await;
    redis.ask(&["SET", "b", "2"]);
    // The log is on disk within a second or so; a kill loses nothing that the system has.
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
async fn over_tcp_it_comes_back_at_the_same_port() {
    let redis = PrivateRedis::start_tcp().await;
    let address = redis.url().strip_prefix("redis://").expect("a TCP address").to_owned();
    assert_eq!(redis.ask(&["PING"]), "PONG");
    redis.kill();
    TcpStream::connect(&address).expect_err("nobody listens");
    redis.start_again().await;
    assert_eq!(redis.ask(&["ECHO", "hello"]), "hello");
    assert_eq!(redis.ask(&["LPUSH", "list"]), "-ERR wrong number of arguments for 'lpush' command");
}

#[tokio::test]
async fn it_is_configured_as_advised() {
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
async fn paused_it_answers_later() {
    let redis = PrivateRedis::start().await;
    redis.pause();
    std::thread::scope(|scope| {
        let answer = scope.spawn(|| redis.ask(&["PING"]));
        std::thread::sleep(Duration::from_millis(100));
        assert!(!answer.is_finished());
        redis.resume();
        assert_eq!(answer.join().expect("an answer"), "PONG");
    });
    redis.pause();
    redis.stop();
}

#[tokio::test]
async fn dropped_it_is_gone() {
    let redis = PrivateRedis::start().await;
    let (pid, folder) = (redis.pid(), folder_of(&redis.url()));
    assert!(is_alive(pid) && Path::new(&folder).exists());
    drop(redis);
    assert!(!is_alive(pid) && !Path::new(&folder).exists());
}

/// Run by the next test in a process of its own, which is then killed.
#[test]
#[ignore = "a helper of killed_with_its_test_nothing_stays"]
fn be_killed() {
    let redis = PrivateRedis::shared();
    eprintln!("{} {}", redis.pid(), redis.url());
    std::thread::sleep(Duration::from_secs(60));
}

#[tokio::test]
async fn killed_with_its_test_nothing_stays() {
    let test = std::env::current_exe().expect("a path");
    let mut command = Command::new(test);
    command.args(["--ignored", "--exact", "--nocapture", "redis::be_killed"]);
    let mut test = postroom_testkit::Process::run(command);
    let line = test.wait_for_line("redis+unix://", LIMIT).await;
    let words: Vec<_> = line.split(' ').collect();
    let [.., pid, url] = &words[..] else { panic!("no address in {line:?}") };
    let pid = pid.parse().expect("a process id");
    assert!(is_alive(pid));
    test.kill();
    eventually(LIMIT, "Redis ends with the test process", async || (!is_alive(pid)).then_some(())).await;
    let folder = folder_of(url);
    eventually(LIMIT, "its folder is removed", async || (!Path::new(&folder).exists()).then_some(())).await;
}

fn folder_of(url: &str) -> String {
    url.trim_start_matches("redis+unix://").trim_end_matches("/redis.sock").to_owned()
}

/// A process that nobody has waited for yet counts as dead.
fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
}
