//! Inputs that take too long or too much.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long one input may take, on the busiest of machines.
const LIMIT: Duration = Duration::from_secs(20);
/// How much memory the process may have had.
const MEMORY_KB: u64 = 1 << 20;

/// Looks after the input that is being checked, on a thread of its own, until it is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    name: &'static str,
    current: Arc<Current>,
}

#[derive(Debug)]
struct Current {
    number: AtomicU64,
    since: Mutex<Instant>,
}

impl Watch {
    pub(super) fn over(name: &'static str) -> Self {
        let current = Arc::new(Current { number: AtomicU64::new(0), since: Mutex::new(Instant::now()) });
        let watched = Arc::downgrade(&current);
        std::thread::spawn(move || {
            while let Some(current) = watched.upgrade() {
                if current.since().elapsed() > LIMIT {
                    give_up(name, &format!("takes longer than {LIMIT:?}"), current.number.load(Ordering::SeqCst));
                }
                drop(current);
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        Self { name, current }
    }

    pub(super) fn begins(&self, number: u64) {
        self.current.number.store(number, Ordering::SeqCst);
        *self.current.since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        // Rarely: it reads a file.
        if number.is_multiple_of(256) {
            self.check_memory();
        }
    }

    /// The most that the process has had so far (Linux); other tests of the binary are part of it.
    pub(super) fn check_memory(&self) {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).map(|line| line.trim_end_matches(" kB"));
        let kb: u64 = peak.and_then(|kb| kb.trim().parse().ok()).unwrap_or(0);
        if kb > MEMORY_KB {
            let number = self.current.number.load(Ordering::SeqCst);
            give_up(self.name, &format!("is among the last 256 of a process that took {kb} kB"), number);
        }
    }
}

impl Current {
    fn since(&self) -> Instant {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread that does not come back can't be ended in another way.
fn give_up(name: &str, why: &str, number: u64) -> ! {
    eprintln!("fuzz {name}: this input {why}; replay it with POSTROOM_FUZZ_CASE={number}");
    std::process::abort()
}
