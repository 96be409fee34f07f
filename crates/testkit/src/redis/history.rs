//! Recorded sizes of an append-only file.

use std::collections::VecDeque;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Interval between two samples.
const INTERVAL: Duration = Duration::from_millis(5);
/// Maximum number of samples, which is 30 s.
const MAX_SAMPLES: usize = 6_000;

/// Samples of the file's size, taken by a thread that ends when this value is dropped.
#[derive(Debug)]
pub(super) struct History(Arc<Mutex<VecDeque<(Instant, u64)>>>);

impl History {
    /// Starts to sample the append-only file in a server's folder.
    pub(super) fn of(folder: &Path) -> Self {
        let sizes = Arc::new(Mutex::new(VecDeque::new()));
        let (weak, folder) = (Arc::downgrade(&sizes), folder.to_owned());
        std::thread::spawn(move || sample(&weak, &folder));
        Self(sizes)
    }

    /// Truncates the file of a server that was just killed to its size `back` ago, or to the oldest
    /// sample. Returns the number of removed bytes.
    pub(super) fn cut_back(&self, folder: &Path, back: Duration) -> u64 {
        let mut sizes = lock(&self.0);
        let then = Instant::now().checked_sub(back).expect("the machine's uptime is longer");
        let keep = sizes.iter().rev().find(|(at, _)| *at <= then).or(sizes.front()).map_or(0, |(_, size)| *size);
        // Older samples do not describe the truncated file.
        sizes.clear();
        let path = current(folder).expect("an append-only file");
        let file = OpenOptions::new().write(true).open(&path).expect("the append-only file can be opened");
        let size = size_of(&path);
        file.set_len(keep.min(size)).expect("the append-only file can be truncated");
        size.saturating_sub(keep)
    }
}

fn sample(sizes: &Weak<Mutex<VecDeque<(Instant, u64)>>>, folder: &Path) {
    while let Some(sizes) = sizes.upgrade() {
        record(&mut lock(&sizes), folder);
        drop(sizes);
        std::thread::sleep(INTERVAL);
    }
}

/// Records one sample. The caller holds the lock, so that no size read before a truncation is
/// recorded after it.
fn record(sizes: &mut VecDeque<(Instant, u64)>, folder: &Path) {
    let size = current(folder).map_or(0, |path| size_of(&path));
    sizes.push_back((Instant::now(), size));
    if sizes.len() > MAX_SAMPLES {
        sizes.pop_front();
    }
}

/// Returns the file that the server appends to.
///
/// Redis 7 writes several parts, and the latest incremental part is current. Redis 6 writes a
/// single file.
pub(super) fn current(folder: &Path) -> Option<PathBuf> {
    let parts = fs::read_dir(folder.join("appendonlydir")).into_iter().flatten().flatten().map(|entry| entry.path());
    let increments = parts.filter(|path| path.to_string_lossy().ends_with(".incr.aof"));
    let single = folder.join("appendonly.aof");
    increments.max_by_key(|path| part_number(path)).or_else(|| single.is_file().then_some(single))
}

/// Returns the number of a part, such as 12 of `appendonly.aof.12.incr.aof`.
fn part_number(path: &Path) -> u64 {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    name.trim_end_matches(".incr.aof").rsplit('.').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

pub(super) fn size_of(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
