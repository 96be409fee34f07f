//! Redis over TLS, as the programs tell of it.

use postroom_testkit::{PrivateRedis, Process, TlsProxy, target_bin, unique_prefix};

use crate::{Fixture, LIMIT};

const DAEMONS: [&str; 3] = ["postroom-worker", "postroom-beat", "postroom-monitor"];

/// A Redis behind TLS, and a place where the programs look for it there.
async fn guarded() -> (PrivateRedis, TlsProxy, Fixture) {
    let redis = PrivateRedis::start_tcp().await;
    let proxy = TlsProxy::start(redis.addr(), "localhost");
    let url = format!("rediss://localhost:{}", proxy.addr().port());
    let fixture = Fixture::at(url, unique_prefix()).with("MAIL_TRANSPORT", "capture").with("MONITOR_PORT", "0");
    fixture.file("ca.pem", proxy.ca_pem());
    (redis, proxy, fixture)
}

#[tokio::test]
async fn a_private_authority_is_named_by_a_file() {
    let (_redis, _proxy, fixture) = guarded().await;
    let refused = fixture.postroom(&["queues"]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{told}");
    assert!(told.contains("REDIS_CA_FILE") && told.contains("UnknownIssuer"), "{told}");
    let fixture = fixture.with("REDIS_CA_FILE", "ca.pem");
    assert!(!fixture.ok(&["queues"]).1.contains("REDIS_"), "nothing is wrong with that");
    let worker = fixture.worker().await;
    fixture.ok(&["send", "--to", "ann@example.org", "--subject", "Hi", "--text", "Hello", "--wait", "60s"]);
    assert!(!worker.stderr().contains("REDIS_"), "{}", worker.stderr());
}

#[tokio::test]
async fn a_file_that_can_not_be_used_ends_every_program() {
    let (_redis, _proxy, fixture) = guarded().await;
    fixture.file("empty.pem", "");
    for (file, why) in [("none.pem", "can't be read"), ("empty.pem", "no certificate")] {
        for program in DAEMONS.into_iter().chain(["postroom"]) {
            let mut command = fixture.command(target_bin(program));
            command.env("REDIS_CA_FILE", file).args((program == "postroom").then_some("queues"));
            let mut process = Process::run(command);
            let status = process.wait(LIMIT).await;
            let told = process.stderr();
            assert_eq!(status.code(), Some(2), "{program}: {told}");
            assert!([why, file, "REDIS_CA_FILE"].iter().all(|word| told.contains(word)), "{program}: {told}");
        }
    }
}

#[tokio::test]
async fn every_program_warns_once_of_unchecked_certificates() {
    let (_redis, _proxy, fixture) = guarded().await;
    let fixture = fixture.with("REDIS_TLS_INSECURE", "true");
    for (program, line) in DAEMONS.into_iter().zip([" serves ", "beat started", "listening on"]) {
        let process = Process::run(fixture.command(target_bin(program)));
        process.wait_for_line(line, LIMIT).await;
        assert_eq!(process.stderr().matches("REDIS_TLS_INSECURE").count(), 1, "{}", process.stderr());
    }
    assert_eq!(fixture.ok(&["queues"]).1.matches("REDIS_TLS_INSECURE").count(), 1);
    let doctor = fixture.postroom(&["doctor"]);
    let told = String::from_utf8_lossy(&[doctor.stdout, doctor.stderr].concat()).into_owned();
    assert_eq!(told.matches("REDIS_TLS_INSECURE").count(), 1, "{told}");
    assert!(told.contains("warn redis: REDIS_TLS_INSECURE"), "{told}");
}
