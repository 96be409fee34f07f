//! Limits on time and memory of an input.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Maximum time of one input, with a margin for a busy machine.
const LIMIT: Duration = Duration::from_secs(20);
/// Maximum peak memory of the process.
const MEMORY_KB: u64 = 1 << 20;

/// Thread that watches the current input until this value is dropped.
#[derive(Debug)]
pub(super) struct FuzzWatchdog {
    name: &'static str,
    current: Arc<CurrentInput>,
}

#[derive(Debug)]
struct CurrentInput {
    number: AtomicU64,
    since: Mutex<Instant>,
}

impl FuzzWatchdog {
    pub(super) fn over(name: &'static str) -> Self {
        let current = Arc::new(CurrentInput { number: AtomicU64::new(0), since: Mutex::new(Instant::now()) });
        let watched = Arc::downgrade(&current);
        std::thread::spawn(move || {
            while let Some(current) = watched.upgrade() {
                if current.since().elapsed() > LIMIT {
                    give_up(name, &format!("takes more than {LIMIT:?}"), current.number.load(Ordering::SeqCst));
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
        // Check rarely, because this reads a file.
        if number.is_multiple_of(256) {
            self.check_memory();
        }
    }

    /// Checks the peak memory of the process (Linux), which includes other tests of the binary.
    pub(super) fn check_memory(&self) {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).map(|line| line.trim_end_matches(" kB"));
        let kb: u64 = peak.and_then(|kb| kb.trim().parse().ok()).unwrap_or(0);
        if kb > MEMORY_KB {
            let number = self.current.number.load(Ordering::SeqCst);
            give_up(self.name, &format!("is among the last 256 of a process that used {kb} kB"), number);
        }
    }
}

impl CurrentInput {
    fn since(&self) -> Instant {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Aborts the process. There is no other way to end a thread that is stuck.
fn give_up(name: &str, why: &str, number: u64) -> ! {
    eprintln!("fuzz {name}: this input {why}; replay it with POSTROOM_FUZZ_CASE={number}");
    std::process::abort()
}
