//! A clock that goes on while the machine sleeps, for judging whether a lease may still be believed.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Time since boot, sleep included (`CLOCK_BOOTTIME`; elsewhere the monotonic clock).
pub(crate) fn now() -> Duration {
    #[cfg(target_os = "linux")]
    let time = clock_gettime(ClockId::Boottime);
    #[cfg(not(target_os = "linux"))]
    let time = clock_gettime(ClockId::Monotonic);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Until when a lease that was asked for at `asked` may be used: a fifth of it is kept back, because Redis began to count
/// at some moment after the question and nobody knows how long the last bytes take.
pub(crate) fn usable_until(asked: Duration, lease: Duration) -> Duration {
    asked + lease.mul_f64(0.8)
}
