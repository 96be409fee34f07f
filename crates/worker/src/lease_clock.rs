//! A clock that runs while the machine sleeps, to judge whether a lease is still valid.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Returns the time since boot, sleep included (`CLOCK_BOOTTIME`; elsewhere the monotonic clock).
pub(crate) fn now() -> Duration {
    #[cfg(target_os = "linux")]
    let time = clock_gettime(ClockId::Boottime);
    #[cfg(not(target_os = "linux"))]
    let time = clock_gettime(ClockId::Monotonic);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Returns the time until which a lease requested at `sent_at` may be used: 80 % of it. The rest
/// covers the time of the last bytes.
pub(crate) fn usable_until(sent_at: Duration, lease: Duration) -> Duration {
    sent_at + lease.mul_f64(0.8)
}
