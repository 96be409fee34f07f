//! Limit on open files and connections of this process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Value assumed if the system sets no limit.
const UNLIMITED: u64 = 1 << 20;

/// Raises the soft limit on open files to the hard limit. Returns the resulting limit.
pub(crate) fn raise_open_files() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum.unwrap_or(UNLIMITED),
        Err(_) => current.unwrap_or(UNLIMITED),
    }
}
