//! Complaints about rows, in groups: the same one is printed once, with a count and its first
//! lines.

use std::fmt;

/// Number of lines that are named of a group.
const FIRST_LINES: usize = 5;
/// Maximum number of groups.
const MAX_GROUPS: usize = 50;

/// Line numbers: the first ones, and a count of all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LineList {
    first: Vec<u64>,
    last: Option<u64>,
    count: u64,
}

/// Complaints about rows, grouped by what is wrong.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    groups: Vec<ComplaintGroup>,
}

/// Complaints that differ at most in quoted values and in numbers.
#[derive(Debug)]
struct ComplaintGroup {
    pattern: String,
    lines: LineList,
    /// Complaint about each of the first lines.
    texts: Vec<String>,
}

impl LineList {
    pub(super) fn of(line: u64) -> Self {
        Self { first: vec![line], last: Some(line), count: 1 }
    }

    /// Adds a line, unless it was the last one that was added.
    pub(super) fn add(&mut self, line: u64) {
        if self.last.replace(line) == Some(line) {
            return;
        }
        self.count += 1;
        if self.first.len() < FIRST_LINES {
            self.first.push(line);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Number of lines that are not named.
    fn more(&self) -> u64 {
        self.count - self.first.len() as u64
    }
}

impl fmt::Display for LineList {
    /// Writes `line 3`, `lines 3 and 5`, or `lines 3, 5, 7, 8, 9 and 12 more`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.count == 1 { "line " } else { "lines " })?;
        for (at, line) in self.first.iter().enumerate() {
            match at {
                0 => write!(f, "{line}")?,
                _ if at as u64 + 1 == self.count => write!(f, " and {line}")?,
                _ => write!(f, ", {line}")?,
            }
        }
        if self.more() > 0 { write!(f, " and {} more", self.more()) } else { Ok(()) }
    }
}

impl Complaints {
    pub(super) fn add(&mut self, line: u64, problem: &str) {
        let pattern = pattern(problem);
        let group = match self.groups.iter().position(|group| group.pattern == pattern) {
            Some(at) => &mut self.groups[at],
            None => self.new_group(pattern),
        };
        group.lines.add(line);
        if group.texts.len() < FIRST_LINES {
            group.texts.push(problem.to_owned());
        }
    }

    /// Returns a new group. The last one takes all complaints that no other group takes.
    fn new_group(&mut self, pattern: String) -> &mut ComplaintGroup {
        if self.groups.len() < MAX_GROUPS {
            self.groups.push(ComplaintGroup { pattern, lines: LineList::default(), texts: Vec::new() });
        }
        let last = self.groups.len() - 1;
        &mut self.groups[last]
    }

    /// Returns the lines of a report and forgets the complaints.
    pub(super) fn take_report(&mut self) -> Vec<String> {
        std::mem::take(&mut self.groups).iter().flat_map(ComplaintGroup::report).collect()
    }
}

impl ComplaintGroup {
    /// Returns one line if all complaints are the same, else one for each of the first.
    fn report(&self) -> Vec<String> {
        let first = &self.texts[0];
        if self.texts.iter().all(|text| text == first) {
            return vec![format!("{}: {first}", self.lines)];
        }
        let named = self.lines.first.iter().zip(&self.texts);
        let mut report: Vec<String> = named.map(|(line, text)| format!("line {line}: {text}")).collect();
        if self.lines.more() > 0 {
            report.push(format!("{} more lines have problems like these {FIRST_LINES}", self.lines.more()));
        }
        report
    }
}

/// Returns the problem without its quoted values, and with one digit for each number.
fn pattern(problem: &str) -> String {
    let (mut pattern, mut is_quoted, mut is_escaped) = (String::with_capacity(problem.len()), false, false);
    for c in problem.chars() {
        if is_quoted {
            (is_quoted, is_escaped) = (c != '"' || is_escaped, c == '\\' && !is_escaped);
        } else if c.is_ascii_digit() {
            if !pattern.ends_with('0') {
                pattern.push('0');
            }
        } else {
            is_quoted = c == '"';
            pattern.push(c);
        }
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(complaints: &[(u64, &str)], report: &[&str]) {
        let mut all = Complaints::default();
        for (line, problem) in complaints {
            all.add(*line, problem);
        }
        assert_eq!(all.take_report(), report);
        assert!(all.take_report().is_empty());
    }

    #[test]
    fn the_same_complaint_is_printed_once() {
        check(&[], &[]);
        check(&[(3, "a")], &["line 3: a"]);
        check(&[(3, "a"), (4, "b"), (7, "a")], &["lines 3 and 7: a", "line 4: b"]);
        let many: Vec<(u64, &str)> = (2..9).map(|line| (line, "a")).collect();
        check(&many, &["lines 2, 3, 4, 5, 6 and 2 more: a"]);
        check(&many[..5], &["lines 2, 3, 4, 5 and 6: a"]);
    }

    #[test]
    fn complaints_about_other_values_are_one_group() {
        let text = |line: u64| format!("\"a{line}\\\" x\" is no address: {line} of 9");
        let all: Vec<(u64, String)> = (2..109).map(|line| (line, text(line))).collect();
        let all: Vec<(u64, &str)> = all.iter().map(|(line, text)| (*line, text.as_str())).collect();
        let mut report: Vec<String> = (2..7).map(|line| format!("line {line}: {}", text(line))).collect();
        check(&all[..5], &report.iter().map(String::as_str).collect::<Vec<_>>());
        report.push("102 more lines have problems like these 5".to_owned());
        check(&all, &report.iter().map(String::as_str).collect::<Vec<_>>());
    }

    #[test]
    fn the_number_of_groups_is_bounded() {
        let mut all = Complaints::default();
        for line in 0..10_000 {
            all.add(line, &"x".repeat(1 + usize::try_from(line).expect("small") % 100));
        }
        let report = all.take_report();
        assert_eq!(report.len(), MAX_GROUPS - 1 + FIRST_LINES + 1, "{report:?}");
        assert_eq!(report[0], "lines 0, 100, 200, 300, 400 and 95 more: x");
        assert_eq!(report.last().map(String::as_str), Some("5095 more lines have problems like these 5"));
    }
}
