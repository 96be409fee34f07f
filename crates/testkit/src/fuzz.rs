//! Fuzzing in ordinary tests: many inputs made by chance from a corpus, within a time budget, each replayable by its number.
//!
//! `POSTROOM_FUZZ_SECONDS` is the budget of a target (2 s without it), `POSTROOM_FUZZ_SEED` the seed of the run,
//! `POSTROOM_FUZZ_CASE` the number of one input to replay. `scripts/fuzz` runs all targets for longer.

mod corpus;
mod watch;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use corpus::Corpus;
use fastrand::Rng;
use serde_json::Value;
use watch::Watch;

/// Without `POSTROOM_FUZZ_SECONDS`.
const BUDGET: Duration = Duration::from_secs(2);
/// Longest text of an input that is printed on failure.
const SHOWN: usize = 4_000;

/// A target: what inputs are made from.
#[derive(Debug)]
pub struct Fuzz {
    name: &'static str,
    corpus: Corpus,
}

/// One input in the making; the same number makes the same input.
#[derive(Debug)]
pub struct Case<'a> {
    corpus: &'a Corpus,
    rng: Rng,
    made: Vec<String>,
}

impl Fuzz {
    /// A target without seeds.
    pub fn target(name: &'static str) -> Self {
        Self { name, corpus: Corpus::default() }
    }

    /// Inputs to start from.
    pub fn seeds<T: AsRef<[u8]>>(mut self, seeds: impl IntoIterator<Item = T>) -> Self {
        self.corpus.seeds.extend(seeds.into_iter().map(|seed| seed.as_ref().to_vec()));
        self
    }

    /// Pieces that mean something to the target, put in by chance.
    pub fn tokens(mut self, tokens: &[&str]) -> Self {
        self.corpus.tokens.extend(tokens.iter().map(|token| token.as_bytes().to_vec()));
        self
    }

    /// Makes inputs until the budget is spent, and panics with the number of the first that `check` panics on.
    ///
    /// An input that takes longer than 20 s, or memory beyond 1 GiB, ends the process.
    pub fn run(self, check: impl Fn(&mut Case<'_>)) {
        if let Some(number) = variable("POSTROOM_FUZZ_CASE") {
            return self.play(number, &check);
        }
        let seed = variable("POSTROOM_FUZZ_SEED").unwrap_or_else(|| fastrand::u64(..));
        let budget = variable("POSTROOM_FUZZ_SECONDS").map_or(BUDGET, Duration::from_secs);
        let (watch, mut numbers, mut inputs) = (Watch::over(self.name), Rng::with_seed(seed), 0_u64);
        let start = Instant::now();
        while inputs < 100 || start.elapsed() < budget {
            let number = numbers.u64(..);
            watch.begins(number);
            self.play(number, &check);
            inputs += 1;
        }
        watch.check_memory();
        eprintln!("fuzz {}: {inputs} inputs in {:.1} s, seed {seed}", self.name, start.elapsed().as_secs_f64());
    }

    fn play(&self, number: u64, check: &impl Fn(&mut Case<'_>)) {
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
    /// A seed, mutated: bytes flipped, cut, doubled, spliced with another seed, tokens put in.
    pub fn bytes(&mut self) -> Vec<u8> {
        let bytes = self.corpus.make(&mut self.rng);
        self.made.push(bytes.escape_ascii().to_string());
        bytes
    }

    /// The same as text; what is not UTF-8 is replaced.
    pub fn text(&mut self) -> String {
        let text = String::from_utf8_lossy(&self.corpus.make(&mut self.rng)).into_owned();
        self.made.push(format!("{text:?}"));
        text
    }

    /// A short text, which is empty now and then.
    pub fn word(&mut self) -> String {
        let text = String::from_utf8_lossy(&self.corpus.make(&mut self.rng)).into_owned();
        let from = self.rng.usize(..=text.chars().count());
        let word: String = text.chars().skip(from).take(self.rng.usize(0..24)).collect();
        self.made.push(format!("{word:?}"));
        word
    }

    /// One of these.
    pub fn pick<'b, T>(&mut self, all: &'b [T]) -> &'b T {
        &all[self.rng.usize(..all.len())]
    }

    /// A number below this.
    pub fn below(&mut self, limit: usize) -> usize {
        self.rng.usize(..limit)
    }

    /// Any number.
    pub fn number(&mut self) -> i64 {
        let bits = self.rng.u32(1..64);
        self.rng.i64(..) >> bits
    }

    /// True once in so many times.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.rng.usize(..times) == 0
    }
}

/// JSON with its fractions rounded: of those with many digits the last one is lost whenever they are read.
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
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a whole number, not {text:?}")))
}
