//! What was required and what was seen.

use crate::account::Account;
use crate::fault::{ENOUGH, FaultLog, recovery};
use std::fmt::{Display, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The end of a run.
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
    seen: String,
    holds: bool,
}

impl Report {
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), start: Instant::now(), notes: Vec::new(), checks: Vec::new(), voids: Vec::new() }
    }

    /// Something worth knowing.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// One thing that has to hold.
    pub(crate) fn check(&mut self, required: impl Into<String>, seen: impl Display, holds: bool) {
        self.checks.push(Check { required: required.into(), seen: seen.to_string(), holds });
    }

    /// That there is nothing of the kind.
    pub(crate) fn none(&mut self, what: &str, found: &[String]) {
        self.check(format!("0 {what}"), few(found), found.is_empty());
    }

    /// That something was no more than `most`.
    pub(crate) fn at_most(&mut self, what: &str, most: usize, seen: usize) {
        let required = if most == 0 { format!("0 {what}") } else { format!("at most {most} {what}") };
        self.check(required, seen, seen <= most);
    }

    /// That something took no longer than `most`.
    pub(crate) fn within(&mut self, what: &str, most: Duration, took: Option<Duration>) {
        let seen = took.map_or("never".to_owned(), |took| format!("{:.2} s", took.as_secs_f64()));
        let required = format!("{what} within {:.1} s", most.as_secs_f64());
        self.check(required, seen, took.is_some_and(|took| took <= most));
    }

    /// What has to hold whatever went wrong.
    pub(crate) fn balance(&mut self, account: &Account) {
        self.note(account.told());
        self.check("0 lost", few(&account.lost), account.lost.is_empty());
        // No server refuses anything for good here.
        self.at_most("failed", 0, account.failed);
        let (duplicates, explained) = (account.duplicates, account.explained);
        self.check(
            "each duplicate is explained by unknown",
            format!("{explained} of {duplicates}"),
            duplicates <= explained,
        );
        self.check("all copies of a mail have one Message-ID", few(&account.other_ids), account.other_ids.is_empty());
        self.check("counters add up", few(&account.miscounted), account.miscounted.is_empty());
        self.check(
            "the server's ledger agrees with the states",
            few(&account.contradictions),
            account.contradictions.is_empty(),
        );
        self.check("the SMTP client is in good order", few(&account.violations), account.violations.is_empty());
    }

    /// That the trouble was real: enough was under way each time, and the load outlasted it.
    pub(crate) fn was_real(&mut self, log: &FaultLog, account: &Account) {
        for fault in log.told(&account.arrivals) {
            self.note(fault);
        }
        let weak = log.all().iter().filter(|fault| fault.under_way < ENOUGH);
        self.voids.extend(weak.map(|fault| format!("{}: only {} mails were being sent", fault.what, fault.under_way)));
        let after = log.last_over().map_or(0, |over| account.arrived_after(over));
        if after < ENOUGH {
            self.voids.push(format!("only {after} mails came after the last fault: it needs more load"));
        }
    }

    /// That after each fault the next mail came soon.
    pub(crate) fn recovered(&mut self, log: &FaultLog, arrivals: &[Instant], most: Duration) {
        let each: Option<Vec<Duration>> = log.all().iter().map(|fault| recovery(fault, arrivals)).collect();
        self.within("the next mail after each fault came", most, each.and_then(|each| each.into_iter().max()));
    }

    /// Why nothing was shown.
    pub(crate) fn void(&mut self, why: impl Into<String>) {
        self.voids.push(why.into());
    }

    /// To standard output.
    #[expect(clippy::print_stdout, reason = "this is what the program is for")]
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

    /// What does not hold is a failure even where the trouble was too small to show that all does.
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
        for Check { required, seen, holds } in &self.checks {
            let mark = if *holds { "ok  " } else { "FAIL" };
            let _ = writeln!(text, "  {mark} {required:width$}  {seen}");
        }
        for void in &self.voids {
            let _ = writeln!(text, "  VOID {void}");
        }
        text + self.verdict() + "\n"
    }
}

/// How many, and the first few of them.
fn few(found: &[String]) -> String {
    match found {
        [] => "0".to_owned(),
        found => {
            let more = if found.len() > 5 { ", …" } else { "" };
            format!("{}: {}{more}", found.len(), found[..found.len().min(5)].join("; "))
        }
    }
}
