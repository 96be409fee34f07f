//! Filters the rows of a bulk: reports invalid rows and skips addresses that were in an earlier
//! row.

use postroom_enqueue::{BulkChecker, MailProblem};

use super::{
    complaints::Complaints,
    row::{BulkRow, Rows, Unreadable},
    row_notes::RowNotes,
    seen_addresses::SeenAddresses,
};
use crate::{
    console::Console,
    exit::{CommandError, Result},
};

/// Number of rows that are checked before anything is enqueued. A template that lacks a variable
/// for one of them fails the whole bulk.
pub(crate) const FIRST_ROWS: u64 = 10;

/// Iterator over the valid rows.
pub(crate) struct RowFilter<'a> {
    rows: Rows,
    checker: BulkChecker<'a>,
    /// Earlier addresses; `None` if duplicates are allowed.
    seen: Option<SeenAddresses>,
    /// Notes about the variables; `None` if they were printed before.
    notes: Option<RowNotes>,
    console: Console,
    complaints: Complaints,
    /// Number of rows read so far, and the line of the last one.
    last: (u64, u64),
    /// Number of the last row if the row before it begins on the same line, as in a list of JSON.
    record: Option<u64>,
    /// Number of valid rows so far.
    pub(crate) valid: u64,
    /// Number of invalid rows so far.
    pub(crate) invalid: u64,
    /// Number of rows skipped so far because an earlier row had their address.
    pub(crate) duplicates: u64,
}

impl<'a> RowFilter<'a> {
    /// Creates a filter of the rows of a template, if they have one.
    pub(crate) fn new(
        rows: Rows,
        checker: BulkChecker<'a>,
        template: Option<&str>,
        allow_duplicates: bool,
        console: Console,
    ) -> Self {
        let seen = (!allow_duplicates).then(SeenAddresses::default);
        let complaints = Complaints::default();
        let names = template.and_then(|template| checker.templates()?.names_in_use(template));
        let notes = template.map(|_| RowNotes::new(names, console));
        let (last, record) = ((0, 0), None);
        Self { rows, checker, seen, notes, console, complaints, last, record, valid: 0, invalid: 0, duplicates: 0 }
    }

    /// Prints no notes: another filter has printed them.
    pub(crate) fn without_notes(self) -> Self {
        Self { notes: None, ..self }
    }

    /// Prints the complaints and the notes about all rows.
    pub(crate) fn finish(&mut self) {
        self.report();
        if let Some(notes) = &self.notes {
            notes.finish();
        }
    }

    /// Returns the next valid row.
    ///
    /// # Errors
    ///
    /// A usage error if the input can't be read, or if the template does not render with one of the
    /// first rows. A later row that does not render is only counted as invalid.
    pub(crate) fn next(&mut self) -> Result<Option<BulkRow>> {
        while let Some(row) = self.rows.next() {
            match row {
                Ok(row) => {
                    self.count(row.line);
                    if let Some(row) = self.check(row)? {
                        return Ok(Some(row));
                    }
                }
                Err(Unreadable::Row { line, problem }) => {
                    self.count(line);
                    self.reject(line, &problem);
                }
                Err(Unreadable::Input(problem)) => return Err(problem.into()),
            }
        }
        Ok(None)
    }

    /// Returns the row if it is valid and no duplicate.
    fn check(&mut self, mut row: BulkRow) -> Result<Option<BulkRow>> {
        let mut merged = self.checker.merge(&row.mail);
        if self.seen.as_ref().is_some_and(|seen| seen.contains(&merged)) {
            self.duplicates += 1;
            return Ok(None);
        }
        match self.checker.complete(&mut row.mail, &mut merged) {
            Ok(()) => {}
            Err(MailProblem::Template(error)) if self.valid < FIRST_ROWS => {
                let problem = self.named(&error.to_string());
                return Err(CommandError::usage("template", format!("line {}: {problem}", row.line)));
            }
            Err(MailProblem::Template(error)) => {
                self.reject(row.line, &error.to_string());
                return Ok(None);
            }
            Err(MailProblem::Mail(problem)) => {
                self.reject(row.line, &problem.to_string());
                return Ok(None);
            }
        }
        if let Some(seen) = &mut self.seen {
            seen.insert(&merged);
        }
        if let Some(notes) = &mut self.notes {
            notes.look_at(&row.mail);
        }
        self.valid += 1;
        Ok(Some(row))
    }

    fn count(&mut self, line: u64) {
        let (number, last_line) = self.last;
        self.last = (number + 1, line);
        self.record = (line == last_line).then_some(number + 1);
    }

    fn reject(&mut self, line: u64, problem: &str) {
        self.invalid += 1;
        self.complaints.add(line, &self.named(problem));
    }

    /// Adds the number of the row where the line does not identify it.
    fn named(&self, problem: &str) -> String {
        self.record.map_or_else(|| problem.to_owned(), |number| format!("record {number}: {problem}"))
    }

    /// Prints what is wrong with the invalid rows since the last call, the same complaint once.
    pub(crate) fn report(&mut self) {
        for line in self.complaints.take_report() {
            self.console.note(line);
        }
    }
}
