//! The order in which queues are claimed from.

use postroom_core::QueueName;

/// Share of rounds in which another queue than the first comes first, so that a first queue that
/// never empties does not starve the others.
const OUT_OF_ORDER: f64 = 0.05;

/// Returns the order of the queues. Without weights, this is the listed order, now and then with
/// another queue first. With weights, the order is random, and a queue comes first as often as its
/// weight says.
pub(super) fn claim_order(serve: &[(QueueName, u32)]) -> Vec<QueueName> {
    let mut serve = serve.to_vec();
    let mut ordered = Vec::with_capacity(serve.len());
    if serve.iter().all(|(_, weight)| *weight == 0) && fastrand::f64() < OUT_OF_ORDER {
        ordered.push(serve.remove(fastrand::usize(..serve.len())).0);
    }
    while !serve.is_empty() {
        let first = first_queue(&serve, fastrand::f64());
        ordered.push(serve.remove(first).0);
    }
    ordered
}

/// Returns the index of the queue that comes first; 0 if none has a weight.
fn first_queue(serve: &[(QueueName, u32)], chance: f64) -> usize {
    let all: u32 = serve.iter().map(|(_, weight)| weight).sum();
    let mut at = f64::from(all) * chance;
    let here = |(_, weight): &(QueueName, u32)| {
        at -= f64::from(*weight);
        at < 0.0
    };
    serve.iter().position(here).unwrap_or(0)
}
