//! Limits of a rendering: time, loop turns, memory, stack. Compiled templates call the functions
//! here ([`metered`](super::metered) inserts the calls), so a template that would never end or
//! exhaust the memory fails with an error.

use std::{
    cell::RefCell,
    fmt,
    io::{self, Write},
    time::{Duration, Instant},
};

use tera::Value;

use crate::blocking;

/// Limits of a rendering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RenderLimits {
    /// Maximum number of loop turns, and of starts of files, blocks and components.
    pub(super) steps: usize,
    /// Maximum size of all values stored in variables, in bytes.
    pub(super) stored: usize,
    /// Maximum size of the output of each body, in bytes.
    pub(super) output: usize,
    pub(super) time: Duration,
}

/// Limits of a rendering that is done on the current thread instead of a blocking thread.
pub(super) const QUICK: RenderLimits =
    RenderLimits { steps: 2_000, stored: 64 << 10, output: 256 << 10, time: Duration::from_millis(10) };
/// Limits of every rendering.
pub(super) const MOST: RenderLimits =
    RenderLimits { steps: 1_000_000, stored: 16 << 20, output: 32 << 20, time: Duration::from_secs(5) };

/// Maximum size of the values of one expression, in bytes.
const EXPRESSION: usize = 64 << 20;
/// Maximum stack of nested templates, in bytes.
const STACK: usize = 1 << 20;
/// Maximum nesting of lists.
const LEVELS: usize = 160;
/// Size of a value besides its text, in bytes.
const VALUE: usize = 32;

/// Limit that was exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exceeded {
    Steps(usize),
    Stored(usize),
    Output(usize),
    Time(Duration),
    Value {
        bytes: usize,
        parts: usize,
    },
    Levels,
    Stack,
    /// The caller stopped waiting for the result.
    Abandoned,
}

#[derive(Debug)]
struct Meter {
    limits: RenderLimits,
    /// Number of values in the longest expression.
    parts: usize,
    steps: usize,
    stored: usize,
    ends_at: Instant,
    stack: usize,
    exceeded: Option<Exceeded>,
}

thread_local! {
    static METER: RefCell<Option<Meter>> = const { RefCell::new(None) };
}

/// Renders within limits; afterwards [`exceeded`] returns the exceeded limit. `parts`: number of
/// values in the longest expression.
pub(super) fn within<T>(limits: RenderLimits, parts: usize, render: impl FnOnce() -> T) -> T {
    let ends_at = Instant::now() + limits.time;
    let meter = Meter { limits, parts, steps: 0, stored: 0, ends_at, stack: stack(), exceeded: None };
    METER.set(Some(meter));
    let _end = ResetMeter;
    render()
}

struct ResetMeter;

impl Drop for ResetMeter {
    fn drop(&mut self) {
        METER.set(None);
    }
}

/// Limit that the current rendering exceeded, if any.
pub(super) fn exceeded() -> Option<Exceeded> {
    METER.with_borrow(|meter| meter.as_ref().and_then(|meter| meter.exceeded))
}

/// Counts a step and the bytes that it stores.
pub(super) fn step(bytes: usize) -> tera::TeraResult<()> {
    charge(|meter| meter.step(bytes))
}

/// Counts a value that is stored in a variable.
pub(super) fn store(value: &Value) -> tera::TeraResult<()> {
    charge(|meter| {
        let bytes = weight(value, meter.limits.stored - meter.stored, LEVELS);
        let bytes = bytes
            .map_err(|too_deep| if too_deep { Exceeded::Levels } else { Exceeded::Stored(meter.limits.stored) })?;
        meter.expression(bytes)?;
        meter.store(bytes)
    })
}

/// Checks the size of a value before an expression creates it.
pub(super) fn make(bytes: usize) -> tera::TeraResult<()> {
    charge(|meter| meter.expression(bytes))
}

fn charge(check: impl FnOnce(&mut Meter) -> Result<(), Exceeded>) -> tera::TeraResult<()> {
    METER.with_borrow_mut(|meter| {
        let Some(meter) = meter else { return Ok(()) };
        check(meter).map_err(|exceeded| {
            meter.exceeded = Some(exceeded);
            tera::Error::message(exceeded.to_string())
        })
    })
}

impl Meter {
    fn step(&mut self, bytes: usize) -> Result<(), Exceeded> {
        self.steps += 1;
        if self.steps > self.limits.steps {
            return Err(Exceeded::Steps(self.limits.steps));
        }
        if self.stack.abs_diff(stack()) > STACK {
            return Err(Exceeded::Stack);
        }
        if Instant::now() > self.ends_at {
            return Err(Exceeded::Time(self.limits.time));
        }
        if blocking::is_abandoned() {
            return Err(Exceeded::Abandoned);
        }
        self.store(bytes)
    }

    fn store(&mut self, bytes: usize) -> Result<(), Exceeded> {
        self.stored = self.stored.saturating_add(bytes);
        if self.stored > self.limits.stored { Err(Exceeded::Stored(self.limits.stored)) } else { Ok(()) }
    }

    fn expression(&self, bytes: usize) -> Result<(), Exceeded> {
        fits(bytes, self.parts)
    }
}

/// Checks that an expression of `parts` values, each of this size, is within its limit.
pub(super) fn fits(bytes: usize, parts: usize) -> Result<(), Exceeded> {
    if bytes.saturating_mul(parts) > EXPRESSION { Err(Exceeded::Value { bytes, parts }) } else { Ok(()) }
}

/// Size of a value in bytes; a value that occurs repeatedly counts each time. Returns `Err(false)`
/// if the size exceeds `most`, and `Err(true)` if the nesting is too deep.
fn weight(value: &Value, most: usize, levels: usize) -> Result<usize, bool> {
    let levels = levels.checked_sub(1).ok_or(true)?;
    let mut sum = VALUE + value.as_str().map_or(0, str::len) + value.as_bytes().map_or(0, <[u8]>::len);
    if sum > most {
        return Err(false);
    }
    for part in value.as_array().unwrap_or_default() {
        sum += weight(part, most - sum, levels)?;
    }
    for (key, part) in value.as_map().into_iter().flatten() {
        let key = VALUE + key.as_str().map_or(0, str::len);
        sum = Some(sum + key).filter(|sum| *sum <= most).ok_or(false)?;
        sum += weight(part, most - sum, levels)?;
    }
    Ok(sum)
}

/// Size of a variable, in bytes.
pub(super) fn weight_of_json(value: &serde_json::Value) -> usize {
    use serde_json::Value::{Array, Object, String};
    let parts = match value {
        String(text) => text.len(),
        Array(values) => values.iter().map(weight_of_json).sum(),
        Object(fields) => fields.iter().map(|(name, value)| VALUE + name.len() + weight_of_json(value)).sum(),
        _ => 0,
    };
    VALUE + parts
}

/// Approximate address of the top of the stack.
fn stack() -> usize {
    let here = 0_u8;
    std::ptr::from_ref(std::hint::black_box(&here)).addr()
}

/// Writer that enforces the output limit.
pub(super) struct LimitedWriter<W> {
    out: W,
    len: usize,
    most: usize,
}

impl<W: Write> LimitedWriter<W> {
    pub(super) fn to(out: W) -> Self {
        let most = METER.with_borrow(|meter| meter.as_ref().map_or(usize::MAX, |meter| meter.limits.output));
        Self { out, len: 0, most }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn into_inner(self) -> W {
        self.out
    }
}

impl<W: Write> Write for LimitedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.len += bytes.len();
        if self.len > self.most {
            charge(|_| Err(Exceeded::Output(self.most))).map_err(|error| io::Error::other(error.to_string()))?;
        }
        self.out.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mb = |bytes: usize| bytes.div_ceil(1 << 20);
        match *self {
            Self::Steps(most) => write!(f, "its loops have more than {most} turns"),
            Self::Stored(most) => write!(f, "the variables that it sets have more than {} MB", mb(most)),
            Self::Output(most) => write!(f, "its output has more than {} MB", mb(most)),
            Self::Time(most) => write!(f, "it takes more than {} s to render", most.as_secs_f64()),
            Self::Value { bytes, parts } => write!(
                f,
                "an expression of {parts} parts may have values of at most {} MB; one has {} MB",
                mb(EXPRESSION) / parts.max(1),
                mb(bytes)
            ),
            Self::Levels => write!(f, "a variable that it sets has more than {LEVELS} levels"),
            Self::Stack => f.write_str("its includes and components are nested too deep"),
            Self::Abandoned => f.write_str("rendering was cancelled by its caller"),
        }
    }
}
