//! All of Postroom together, as people run it: the programs beside each other, what is shipped around them, and the
//! shape of the whole repository.

mod documents;
mod fixture;
mod procfile;
mod recipients;
mod redis_tls;
mod rights;
mod scripts;
mod shape;
mod sink;
mod units;

use fixture::Fixture;

/// How long anything may take on a busy machine.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(60);
