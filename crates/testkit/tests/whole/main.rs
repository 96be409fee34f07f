//! Tests of all programs together, of the files shipped with them, and of the repository's shape.

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

/// Maximum time of any step, with a margin for a busy machine.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(60);
