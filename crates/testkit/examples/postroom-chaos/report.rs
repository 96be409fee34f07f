//! Report of a run: requirements and observed values.

use crate::audit::Audit;
use crate::fault::{FaultLog, MIN_SENDING, recovery};
use std::fmt::{Display, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Report of one run.
#[derive(Debug)]
pub(crate) struct Report {
    title: String,
    start: Instant,
    notes: Vec<String>,
    checks: Vec<Check>,
    voids: Vec<String>,
}

#[derive(Debug)]
struct Check {
    required: String,
    observed: String,
    holds: bool,
}

impl Report {
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), start: Instant::now(), notes: Vec::new(), checks: Vec::new(), voids: Vec::new() }
    }

    /// Adds an informative line.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Adds a requirement with the observed value.
    pub(crate) fn check(&mut self, required: impl Into<String>, observed: impl Display, holds: bool) {
        self.checks.push(Check { required: required.into(), observed: observed.to_string(), holds });
    }

    /// Requires that `found` is empty.
    pub(crate) fn none(&mut self, what: &str, found: &[String]) {
        self.check(format!("0 {what}"), few(found), found.is_empty());
    }

    /// Requires that `observed` is at most `most`.
    pub(crate) fn at_most(&mut self, what: &str, most: usize, observed: usize) {
        let required = if most == 0 { format!("0 {what}") } else { format!("at most {most} {what}") };
        self.check(required, observed, observed <= most);
    }

    /// Requires that something took at most `most`. `None` means that it did not happen.
    pub(crate) fn within(&mut self, what: &str, most: Duration, took: Option<Duration>) {
        let observed = took.map_or("never".to_owned(), |took| format!("{:.2} s", took.as_secs_f64()));
        let required = format!("{what} within {:.1} s", most.as_secs_f64());
        self.check(required, observed, took.is_some_and(|took| took <= most));
    }

    /// Adds the requirements that hold for every fault.
    pub(crate) fn check_audit(&mut self, audit: &Audit) {
        self.note(audit.summary());
        self.check("0 lost", few(&audit.lost), audit.lost.is_empty());
        // The server refuses no mail permanently here.
        self.at_most("failed", 0, audit.failed);
        let (duplicates, explained) = (audit.duplicates, audit.explained);
        self.check(
            "each duplicate is explained by unknown",
            format!("{explained} of {duplicates}"),
            duplicates <= explained,
        );
        self.check("all copies of a mail have one Message-ID", few(&audit.other_ids), audit.other_ids.is_empty());
        self.check("counters add up", few(&audit.miscounted), audit.miscounted.is_empty());
        self.check(
            "the server's ledger matches the job states",
            few(&audit.contradictions),
            audit.contradictions.is_empty(),
        );
        self.check("no SMTP protocol violations", few(&audit.violations), audit.violations.is_empty());
    }

    /// Checks that the faults count: enough mails were being sent at each start, and mails arrived
    /// after the last end. Otherwise the run is void.
    pub(crate) fn check_faults(&mut self, log: &FaultLog, audit: &Audit) {
        for line in log.lines(&audit.arrivals) {
            self.note(line);
        }
        let weak = log.all().iter().filter(|fault| fault.sending_count < MIN_SENDING);
        self.voids.extend(
            weak.map(|fault| format!("{}: only {} mails were being sent", fault.description, fault.sending_count)),
        );
        let after = log.last_end().map_or(0, |end| audit.arrived_after(end));
        if after < MIN_SENDING {
            self.voids.push(format!("only {after} mails arrived after the last fault: increase --jobs"));
        }
    }

    /// Requires that the next mail arrives within `most` after each fault.
    pub(crate) fn check_recovery(&mut self, log: &FaultLog, arrivals: &[Instant], most: Duration) {
        let each: Option<Vec<Duration>> = log.all().iter().map(|fault| recovery(fault, arrivals)).collect();
        self.within("the next mail after each fault arrives", most, each.and_then(|each| each.into_iter().max()));
    }

    /// Marks the run as void, with the reason.
    pub(crate) fn void(&mut self, why: impl Into<String>) {
        self.voids.push(why.into());
    }

    /// Prints the report to standard output.
    #[expect(clippy::print_stdout, reason = "the report is the output of this program")]
    pub(crate) fn print(&self) {
        print!("{}", self.text());
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        match self.verdict() {
            "PASS" => ExitCode::SUCCESS,
            "VOID" => ExitCode::from(3),
            _ => ExitCode::FAILURE,
        }
    }

    /// Returns the verdict. A failed check counts even in a void run.
    fn verdict(&self) -> &'static str {
        match (self.checks.iter().all(|check| check.holds), self.voids.is_empty()) {
            (false, _) => "FAIL",
            (true, false) => "VOID",
            (true, true) => "PASS",
        }
    }

    fn text(&self) -> String {
        let mut text = format!("{} ({:.1} s)\n", self.title, self.start.elapsed().as_secs_f64());
        for note in &self.notes {
            let _ = writeln!(text, "  {note}");
        }
        let width = self.checks.iter().map(|check| check.required.chars().count()).max().unwrap_or(0);
        for Check { required, observed, holds } in &self.checks {
            let mark = if *holds { "ok  " } else { "FAIL" };
            let _ = writeln!(text, "  {mark} {required:width$}  {observed}");
        }
        for void in &self.voids {
            let _ = writeln!(text, "  VOID {void}");
        }
        text + self.verdict() + "\n"
    }
}

/// Returns the number of entries and the first five.
fn few(found: &[String]) -> String {
    match found {
        [] => "0".to_owned(),
        found => {
            let more = if found.len() > 5 { ", …" } else { "" };
            format!("{}: {}{more}", found.len(), found[..found.len().min(5)].join("; "))
        }
    }
}
