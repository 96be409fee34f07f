//! The number of files and connections that this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Assumed where the system sets no limit.
const UNLIMITED: u64 = 1 << 20;

/// Raises the soft limit on open files to the hard limit, and returns the limit that then holds.
pub(crate) fn raise_open_files() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum.unwrap_or(UNLIMITED),
        Err(_) => current.unwrap_or(UNLIMITED),
    }
}
