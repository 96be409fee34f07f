//! What of a bulk's rows can be sent: bad rows are told and counted, an address that came before is left out.

use postroom_core::Mail;

use super::{
    super::{
        console::Console,
        exit::{Failure, Result},
    },
    Row, Rows, Unreadable,
    seen::Seen,
};
use crate::{
    check::{Checker, HEAD, Problem},
    shared::Shared,
};

/// Rows on their way through.
pub(crate) struct Sieve<'a> {
    rows: Rows,
    shared: Shared,
    checker: Checker<'a>,
    seen: Option<Seen>,
    console: Console,
    /// How many were sound.
    pub(crate) good: u64,
    /// How many were no mail.
    pub(crate) invalid: u64,
    /// How many named an address again.
    pub(crate) duplicates: u64,
}

impl<'a> Sieve<'a> {
    pub(crate) fn new(
        rows: Rows,
        shared: &Mail,
        checker: Checker<'a>,
        allow_duplicates: bool,
        console: Console,
    ) -> Self {
        let seen = (!allow_duplicates).then(Seen::default);
        Self { rows, shared: Shared::of(shared), checker, seen, console, good: 0, invalid: 0, duplicates: 0 }
    }

    /// The next sound row. A template that does not fit one of the first rows is an error; later it is a bad row.
    pub(crate) fn next(&mut self) -> Result<Option<Row>> {
        while let Some(row) = self.rows.next() {
            match row {
                Ok(row) => {
                    if let Some(row) = self.sift(row)? {
                        return Ok(Some(row));
                    }
                }
                Err(Unreadable::Row { line, problem }) => self.refuse(line, &problem),
                Err(Unreadable::Input(problem)) => return Err(problem.into()),
            }
        }
        Ok(None)
    }

    fn sift(&mut self, row: Row) -> Result<Option<Row>> {
        let whole = self.shared.whole(&row.mail);
        if self.seen.as_ref().is_some_and(|seen| seen.holds(&whole)) {
            self.duplicates += 1;
            return Ok(None);
        }
        match self.checker.check_over(&self.shared.vars, &whole) {
            Ok(()) => {}
            Err(Problem::Template(error)) if self.good < HEAD => {
                return Err(Failure::usage("template", format!("line {}: {error}", row.line)));
            }
            Err(Problem::Template(error)) => return Ok(self.refused(&row, &error.to_string())),
            Err(Problem::Mail(problem)) => return Ok(self.refused(&row, &problem.to_string())),
        }
        if let Some(seen) = &mut self.seen {
            seen.add(&whole);
        }
        self.good += 1;
        Ok(Some(row))
    }

    fn refused(&mut self, row: &Row, problem: &str) -> Option<Row> {
        self.refuse(row.line, problem);
        None
    }

    fn refuse(&mut self, line: u64, problem: &str) {
        self.invalid += 1;
        self.console.note(format_args!("line {line}: {problem}"));
    }
}
