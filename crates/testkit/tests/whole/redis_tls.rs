//! Redis over TLS: certificates, warnings and errors of all programs.

use postroom_testkit::{PrivateRedis, Process, TlsProxy, target_bin, unique_prefix};

use crate::{Fixture, LIMIT};

const DAEMONS: [&str; 3] = ["postroom-worker", "postroom-beat", "postroom-monitor"];

/// Starts a Redis behind TLS, and a fixture that uses it.
async fn with_tls() -> (PrivateRedis, TlsProxy, Fixture) {
    let redis = PrivateRedis::start_tcp().await;
    let proxy = TlsProxy::start(redis.addr(), "localhost");
    let url = format!("rediss://localhost:{}", proxy.addr().port());
    let fixture = Fixture::at(url, unique_prefix()).with("MAIL_TRANSPORT", "capture").with("MONITOR_PORT", "0");
    fixture.file("ca.pem", proxy.ca_pem());
    (redis, proxy, fixture)
}

#[tokio::test]
async fn a_private_authority_is_trusted_by_its_file() {
    let (_redis, _proxy, fixture) = with_tls().await;
    let refused = fixture.postroom(&["queues"]);
    let stderr = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("REDIS_CA_FILE") && stderr.contains("UnknownIssuer"), "{stderr}");
    let fixture = fixture.with("REDIS_CA_FILE", "ca.pem");
    assert!(!fixture.ok(&["queues"]).1.contains("REDIS_"), "there is no warning");
    let worker = fixture.worker().await;
    fixture.ok(&["send", "--to", "ann@example.org", "--subject", "Hi", "--text", "Hello", "--wait", "60s"]);
    assert!(!worker.stderr().contains("REDIS_"), "{}", worker.stderr());
}

#[tokio::test]
async fn an_unusable_ca_file_ends_every_program() {
    let (_redis, _proxy, fixture) = with_tls().await;
    fixture.file("empty.pem", "");
    for (file, why) in [("none.pem", "can't be read"), ("empty.pem", "no certificate")] {
        for program in DAEMONS.into_iter().chain(["postroom"]) {
            let mut command = fixture.command(target_bin(program));
            command.env("REDIS_CA_FILE", file).args((program == "postroom").then_some("queues"));
            let mut process = Process::run(command);
            let status = process.wait(LIMIT).await;
            let stderr = process.stderr();
            assert_eq!(status.code(), Some(2), "{program}: {stderr}");
            assert!([why, file, "REDIS_CA_FILE"].iter().all(|word| stderr.contains(word)), "{program}: {stderr}");
        }
    }
}

#[tokio::test]
async fn every_program_warns_once_about_unverified_certificates() {
    let (_redis, _proxy, fixture) = with_tls().await;
    let fixture = fixture.with("REDIS_TLS_INSECURE", "true");
    for (program, line) in DAEMONS.into_iter().zip([" serves ", "beat started", "listening on"]) {
        let process = Process::run(fixture.command(target_bin(program)));
        process.wait_for_line(line, LIMIT).await;
        assert_eq!(process.stderr().matches("REDIS_TLS_INSECURE").count(), 1, "{}", process.stderr());
    }
    assert_eq!(fixture.ok(&["queues"]).1.matches("REDIS_TLS_INSECURE").count(), 1);
    let doctor = fixture.postroom(&["doctor"]);
    let stderr = String::from_utf8_lossy(&[doctor.stdout, doctor.stderr].concat()).into_owned();
    assert_eq!(stderr.matches("REDIS_TLS_INSECURE").count(), 1, "{stderr}");
    assert!(stderr.contains("warn redis: REDIS_TLS_INSECURE"), "{stderr}");
}
