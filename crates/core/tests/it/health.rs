//! The health port with clients that never finish a request.

use std::time::Duration;

use postroom_core::health::Health;
use postroom_testkit::{SlowClients, latencies, p99};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_unfinished_requests_do_not_block_others() {
    let health = Health::listen(([127, 0, 0, 1], 0).into()).await.expect("a port");
    let address = health.address().expect("an address");
    let serving = tokio::spawn(health.serve(|| Ok(())));
    let _clients = SlowClients::start(address, 2_000).await;
    let all = latencies(address, "/healthz", 200).await;
    eprintln!("2,000 slow clients, health port: p99 {:?}, median {:?}", p99(&all), all[all.len() / 2]);
    // The required limit is 500 ms on an idle machine.
    assert!(p99(&all) <= Duration::from_secs(3), "{:?}", p99(&all));
    serving.abort();
}
