//! Fuzzing in ordinary tests: random mutations of a corpus within a time budget. Each input can be
//! replayed by its number.
//!
//! - `POSTROOM_FUZZ_SECONDS`: time budget per target (default 2)
//! - `POSTROOM_FUZZ_SEED`: seed of the run
//! - `POSTROOM_FUZZ_CASE`: number of one input to replay
//!
//! `scripts/fuzz` runs all targets with a larger budget.

mod corpus;
mod watchdog;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use corpus::Corpus;
use fastrand::Rng;
use serde_json::Value;
use watchdog::FuzzWatchdog;

/// Default of `POSTROOM_FUZZ_SECONDS`.
const BUDGET: Duration = Duration::from_secs(2);
/// Maximum number of characters of an input that are printed on failure.
const SHOWN: usize = 4_000;

/// Fuzz target with its corpus.
#[derive(Debug)]
pub struct Fuzz {
    name: &'static str,
    corpus: Corpus,
}

/// Generator of one input. The same number generates the same input.
#[derive(Debug)]
pub struct Case<'a> {
    corpus: &'a Corpus,
    rng: Rng,
    made: Vec<String>,
}

impl Fuzz {
    /// Creates a target without seeds.
    pub fn target(name: &'static str) -> Self {
        Self { name, corpus: Corpus::default() }
    }

    /// Adds inputs to mutate.
    pub fn seeds<T: AsRef<[u8]>>(mut self, seeds: impl IntoIterator<Item = T>) -> Self {
        self.corpus.seeds.extend(seeds.into_iter().map(|seed| seed.as_ref().to_vec()));
        self
    }

    /// Adds tokens of the target's syntax, inserted at random.
    pub fn tokens(mut self, tokens: &[&str]) -> Self {
        self.corpus.tokens.extend(tokens.iter().map(|token| token.as_bytes().to_vec()));
        self
    }

    /// Runs `check` with generated inputs until the budget is spent.
    ///
    /// Prints the number of the first input on which `check` panics, and resumes the panic. An
    /// input that takes more than 20 s, or 1 GiB of memory, aborts the process.
    pub fn run(self, check: impl Fn(&mut Case<'_>)) {
        if let Some(number) = variable("POSTROOM_FUZZ_CASE") {
            return self.run_case(number, &check);
        }
        let seed = variable("POSTROOM_FUZZ_SEED").unwrap_or_else(|| fastrand::u64(..));
        let budget = variable("POSTROOM_FUZZ_SECONDS").map_or(BUDGET, Duration::from_secs);
        let (watchdog, mut numbers, mut inputs) = (FuzzWatchdog::over(self.name), Rng::with_seed(seed), 0_u64);
        let start = Instant::now();
        while inputs < 100 || start.elapsed() < budget {
            let number = numbers.u64(..);
            watchdog.begins(number);
            self.run_case(number, &check);
            inputs += 1;
        }
        watchdog.check_memory();
        eprintln!("fuzz {}: {inputs} inputs in {:.1} s, seed {seed}", self.name, start.elapsed().as_secs_f64());
    }

    fn run_case(&self, number: u64, check: &impl Fn(&mut Case<'_>)) {
        let mut case = Case { corpus: &self.corpus, rng: Rng::with_seed(number), made: Vec::new() };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(&mut case))) {
            eprintln!("fuzz {}: this input fails; replay it with POSTROOM_FUZZ_CASE={number}", self.name);
            for made in &case.made {
                let end = made.char_indices().nth(SHOWN).map_or(made.len(), |(at, _)| at);
                eprintln!("  {}", &made[..end]);
            }
            resume_unwind(panic);
        }
    }
}

impl Case<'_> {
    /// Returns a mutated seed: bytes flipped, cut, repeated, spliced with another seed, or with
    /// tokens inserted.
    pub fn bytes(&mut self) -> Vec<u8> {
        let bytes = self.corpus.make(&mut self.rng);
        self.made.push(bytes.escape_ascii().to_string());
        bytes
    }

    /// Returns a mutated seed as text, with invalid UTF-8 replaced.
    pub fn text(&mut self) -> String {
        let text = String::from_utf8_lossy(&self.corpus.make(&mut self.rng)).into_owned();
        self.made.push(format!("{text:?}"));
        text
    }

    /// Returns a short text, which may be empty.
    pub fn word(&mut self) -> String {
        let text = String::from_utf8_lossy(&self.corpus.make(&mut self.rng)).into_owned();
        let from = self.rng.usize(..=text.chars().count());
        let word: String = text.chars().skip(from).take(self.rng.usize(0..24)).collect();
        self.made.push(format!("{word:?}"));
        word
    }

    /// Returns a random element.
    pub fn pick<'b, T>(&mut self, all: &'b [T]) -> &'b T {
        &all[self.rng.usize(..all.len())]
    }

    /// Returns a random number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        self.rng.usize(..limit)
    }

    /// Returns a random number of random magnitude.
    pub fn number(&mut self) -> i64 {
        let bits = self.rng.u32(1..64);
        self.rng.i64(..) >> bits
    }

    /// Returns `true` with a probability of 1 in `times`.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.rng.usize(..times) == 0
    }
}

/// Rounds all fractions in `value`. Parsing a fraction with many digits can change its last digit.
pub fn rounded(mut value: Value) -> Value {
    round(&mut value);
    value
}

fn round(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(fraction) = number.as_f64().filter(|_| number.is_f64()) {
                *value = format!("{fraction:.9e}").into();
            }
        }
        Value::Array(values) => values.iter_mut().for_each(round),
        Value::Object(values) => values.values_mut().for_each(round),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a whole number, not {text:?}")))
}
