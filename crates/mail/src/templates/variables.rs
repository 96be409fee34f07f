//! Variables made ready for rendering.

use serde_json::{Map, Value};
use tera::Context;

use super::meter::{fits, weight_of_json};

/// Bytes that the variables of a mail may take, each value counted with what holds it.
const MOST: usize = 32 << 20;
/// Variables that are copied and shown in no time.
const FEW: usize = 64 << 10;

/// Variables made ready for rendering, so that mails that share them need not each do it again; clones share what they hold.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    context: Context,
    bytes: usize,
    largest: usize,
}

impl Variables {
    /// These alone.
    #[must_use]
    pub fn of(vars: &Map<String, Value>) -> Self {
        Self::default().and(vars)
    }

    /// With these too, which win. Those that are too many are left out, since nothing is rendered with them.
    pub(super) fn and(mut self, vars: &Map<String, Value>) -> Self {
        for (name, value) in vars {
            let bytes = name.len() + weight_of_json(value);
            self.bytes = self.bytes.saturating_add(bytes);
            self.largest = self.largest.max(bytes);
            if self.bytes <= MOST {
                self.context.insert(name.clone(), value);
            }
        }
        self
    }

    /// Bytes that they take, counted with what holds them.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether these too are made ready and shown in no time.
    #[must_use]
    pub fn are_few_with(&self, vars: &Map<String, Value>) -> bool {
        let own: usize = vars.iter().map(|(name, value)| name.len() + weight_of_json(value)).sum();
        self.bytes.saturating_add(own) <= FEW
    }

    /// Checks that variables are not too many for any template; the error says what they may be.
    pub fn check(vars: &Map<String, Value>) -> Result<(), String> {
        check_bytes(vars.iter().map(|(name, value)| name.len() + weight_of_json(value)).sum())
    }

    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    /// Whether they can be rendered by templates whose longest expression makes so many values.
    pub(super) fn fit(&self, parts: usize) -> Result<(), String> {
        check_bytes(self.bytes)?;
        fits(self.largest, parts).map_err(|exceeded| format!("its variables are too large: {exceeded}"))
    }
}

fn check_bytes(bytes: usize) -> Result<(), String> {
    if bytes <= MOST {
        return Ok(());
    }
    Err(format!("its variables take {} MB; they may take {} MB", bytes.div_ceil(1 << 20), MOST >> 20))
}
