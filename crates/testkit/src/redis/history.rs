//! How large an append-only file was when.

use std::collections::VecDeque;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_millis(5);
/// Half a minute.
const MOST: usize = 6_000;

/// Looks at the file's size all the time, on a thread that ends with the last handle.
#[derive(Debug)]
pub(super) struct History(Arc<Mutex<VecDeque<(Instant, u64)>>>);

impl History {
    /// Of the append-only file in a server's folder.
    pub(super) fn of(folder: &Path) -> Self {
        let sizes = Arc::new(Mutex::new(VecDeque::new()));
        let (kept, folder) = (Arc::downgrade(&sizes), folder.to_owned());
        std::thread::spawn(move || watch(&kept, &folder));
        Self(sizes)
    }

    /// Cuts the file of a server that was just killed back to what it was that long ago, or to the earliest that is
    /// remembered. Returns how many bytes are gone.
    pub(super) fn cut_back(&self, folder: &Path, back: Duration) -> u64 {
        let mut sizes = lock(&self.0);
        let then = Instant::now().checked_sub(back).expect("this machine has been up for longer");
        let keep = sizes.iter().rev().find(|(at, _)| *at <= then).or(sizes.front()).map_or(0, |(_, size)| *size);
        // What comes now is another past.
        sizes.clear();
        let path = current(folder).expect("an append-only file");
        let file = OpenOptions::new().write(true).open(&path).expect("the append-only file can be opened");
        let size = size_of(&path);
        file.set_len(keep.min(size)).expect("the append-only file can be cut");
        size.saturating_sub(keep)
    }
}

fn watch(sizes: &Weak<Mutex<VecDeque<(Instant, u64)>>>, folder: &Path) {
    while let Some(sizes) = sizes.upgrade() {
        note(&mut lock(&sizes), folder);
        drop(sizes);
        std::thread::sleep(EVERY);
    }
}

/// With the sizes locked: one that was read before a cut must not be noted after it.
fn note(sizes: &mut VecDeque<(Instant, u64)>, folder: &Path) {
    let size = current(folder).map_or(0, |path| size_of(&path));
    sizes.push_back((Instant::now(), size));
    if sizes.len() > MOST {
        sizes.pop_front();
    }
}

/// The file that is appended to: of several parts (Redis 7) the latest, else the only one (Redis 6, Valkey alike).
pub(super) fn current(folder: &Path) -> Option<PathBuf> {
    let parts = fs::read_dir(folder.join("appendonlydir")).into_iter().flatten().flatten().map(|entry| entry.path());
    let increments = parts.filter(|path| path.to_string_lossy().ends_with(".incr.aof"));
    let single = folder.join("appendonly.aof");
    increments.max_by_key(|path| turn(path)).or_else(|| single.is_file().then_some(single))
}

/// The 12 of `appendonly.aof.12.incr.aof`.
fn turn(path: &Path) -> u64 {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    name.trim_end_matches(".incr.aof").rsplit('.').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

pub(super) fn size_of(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |facts| facts.len())
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
