//! Header of a CSV: delimiter, names of the columns, and which of them holds the address.

use std::io::{self, Read};

use super::{
    address_column::{self, AddressColumnProblem},
    cell,
    delimiter::{self, Delimiter, FirstLine},
    records::Records,
};

/// Options of the command line that describe a CSV.
#[derive(Debug, Clone, Default)]
pub(crate) struct CsvRowFormat {
    /// Delimiter; by default that of a `sep=` line or the header.
    pub(crate) delimiter: Option<Delimiter>,
    /// Name of the address column; by default a usual one.
    pub(crate) address_column: Option<String>,
}

impl CsvRowFormat {
    /// Returns what changes the rows of a file, for a hash; empty by default.
    pub(in crate::rows) fn fingerprint(&self) -> String {
        let delimiter = self.delimiter.map(|delimiter| format!(" delimiter {delimiter}"));
        let column = self.address_column.as_ref().map(|name| format!(" address {name}"));
        delimiter.into_iter().chain(column).collect()
    }
}

/// A header that names one address column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::rows) struct CsvHeader {
    pub(super) delimiter: u8,
    /// Number of records before the first row: the header, and a line before it.
    pub(super) records: usize,
    pub(super) names: Vec<String>,
    /// Index of the address column.
    pub(super) address: usize,
}

/// The first lines of a file, read with one delimiter.
struct Top {
    delimiter: Delimiter,
    records: usize,
    names: Vec<String>,
    /// Whether an address column has a usual name to the letter, without a tab around it that may
    /// be the delimiter.
    is_exact: bool,
    first_row: Vec<String>,
}

type AddressColumn = Result<usize, AddressColumnProblem>;

impl CsvHeader {
    /// Finds the header of a file, which `open` opens at its beginning.
    ///
    /// # Errors
    ///
    /// The problem, which continues a sentence that begins with the name of the file.
    pub(in crate::rows) fn read<R: Read>(
        format: &CsvRowFormat,
        open: impl Fn() -> io::Result<R>,
    ) -> Result<Self, String> {
        let first_line = open().and_then(FirstLine::read).map_err(|error| format!("can't be read: {error}"))?;
        let named = match first_line {
            FirstLine::Delimiter(delimiter) => Some(delimiter),
            FirstLine::Type | FirstLine::Header => None,
        };
        let known = format.delimiter.or(named);
        let (mut tops, mut problems) = (Vec::new(), Vec::new());
        for delimiter in known.map_or(delimiter::COMMON.to_vec(), |known| vec![known]) {
            match Top::read(&open, delimiter, first_line != FirstLine::Header) {
                Ok(top) => tops.push(top),
                Err(problem) => problems.push(problem),
            }
        }
        let (top, found) = best(&tops, problems, format)?;
        let address = found.map_err(|problem| top.describe(&problem, format))?;
        top.check(address)?;
        Ok(Self { delimiter: top.delimiter.byte(), records: top.records, names: top.names.clone(), address })
    }

    pub(in crate::rows) fn delimiter(&self) -> u8 {
        self.delimiter
    }
}

/// Returns the most likely header: one with an address column, and with most columns. The problems
/// of headers that can't be read count only if none has an address column.
fn best<'a>(tops: &'a [Top], problems: Vec<String>, format: &CsvRowFormat) -> Result<(&'a Top, AddressColumn), String> {
    let mut all: Vec<(&Top, AddressColumn)> = tops.iter().map(|top| (top, top.address(format))).collect();
    let rank = |(top, found): &(&Top, AddressColumn)| {
        (*found != Err(AddressColumnProblem::Missing), top.is_exact, top.names.len())
    };
    // A stable sort: among equals, the most common delimiter is the first.
    all.sort_by_key(|top| std::cmp::Reverse(rank(top)));
    let is_tied = all.len() > 1 && rank(&all[0]) == rank(&all[1]) && rank(&all[0]).0 && all[0].0.names.len() > 1;
    if is_tied {
        let (first, second) = (all[0].0.delimiter, all[1].0.delimiter);
        return Err(format!("may be separated by {first} or by {second}; choose one with --delimiter"));
    }
    let best = all.into_iter().next();
    let has_address = best.as_ref().is_some_and(|best| rank(best).0);
    match problems.into_iter().next().filter(|_| !has_address) {
        Some(problem) => Err(problem),
        None => best.ok_or_else(|| "can't be read".to_owned()),
    }
}

impl Top {
    fn read<R: Read>(
        open: impl Fn() -> io::Result<R>,
        delimiter: Delimiter,
        skip_first_line: bool,
    ) -> Result<Self, String> {
        let unreadable = |error: io::Error| format!("can't be read: {error}");
        let mut records = Records::new(open().map_err(unreadable)?, delimiter.byte());
        if skip_first_line {
            records.advance().map_err(unreadable)?;
        }
        if !records.advance().map_err(unreadable)? {
            return Err("is empty: it needs a header and rows".to_owned());
        }
        if let Some(size) = records.oversize() {
            return Err(format!("has an invalid header: {}", size.problem()));
        }
        let names = values(&records);
        let fields: Vec<String> =
            (0..records.columns()).map(|at| String::from_utf8_lossy(records.field(at)).into_owned()).collect();
        let is_exact = address_column::find(&fields) != Err(AddressColumnProblem::Missing);
        let has_row = records.advance().map_err(unreadable)? && records.oversize().is_none();
        let first_row = if has_row { values(&records) } else { Vec::new() };
        Ok(Self { delimiter, records: 1 + usize::from(skip_first_line), names, is_exact, first_row })
    }

    fn address(&self, format: &CsvRowFormat) -> AddressColumn {
        match &format.address_column {
            Some(name) => address_column::find_named(&self.names, name),
            None => address_column::find(&self.names),
        }
    }

    /// Returns an error for rows that have a column more than the header.
    fn check(&self, address: usize) -> Result<(), String> {
        let has_row_names = self.first_row.len() == self.names.len() + 1
            && !looks_like_address(&self.first_row[address])
            && looks_like_address(&self.first_row[address + 1]);
        if has_row_names {
            return Err(
                "has no name for the first column of its rows, as R writes it; add one to the header, or export \
                 with row.names = FALSE"
                    .to_owned(),
            );
        }
        Ok(())
    }

    fn describe(&self, problem: &AddressColumnProblem, format: &CsvRowFormat) -> String {
        match (problem, &format.address_column) {
            (AddressColumnProblem::Ambiguous(columns), wanted) => self.ambiguous(columns, wanted.as_deref()),
            (AddressColumnProblem::Missing, _) if self.names.iter().any(|name| looks_like_address(name)) => {
                let example = self.names.iter().map(|name| if looks_like_address(name) { "email" } else { "name" });
                let delimiter = char::from(self.delimiter.byte());
                let example = example.collect::<Vec<_>>().join(&delimiter.to_string().replace('\t', "\\t"));
                format!(
                    "has no header: its first line holds an address; add a first line with a name for each column, \
                     such as {}",
                    shortened(&example)
                )
            }
            (AddressColumnProblem::Missing, Some(wanted)) => {
                format!("has no column {wanted:?} (--address-column); found: {}", self.list())
            }
            (AddressColumnProblem::Missing, None) => self.missing(),
        }
    }

    fn ambiguous(&self, columns: &[usize], wanted: Option<&str>) -> String {
        let first = &self.names[columns[0]];
        let names: Vec<String> =
            columns.iter().map(|at| format!("{:?} (column {})", self.names[*at], at + 1)).collect();
        let names = shortened(&names.join(", "));
        match wanted {
            _ if columns.iter().all(|at| self.names[*at] == *first) => {
                format!("has two columns named {first}: {names}; rename one")
            }
            Some(wanted) => format!("has more than one column {wanted:?} (--address-column): {names}"),
            None => {
                format!("has more than one address column: {names}; choose one, such as --address-column {first:?}")
            }
        }
    }

    fn missing(&self) -> String {
        let held = self.first_row.iter().position(|value| looks_like_address(value));
        // With one column, the delimiter may be one that is not looked for.
        let other =
            if self.names.len() == 1 { "; the fields may be separated by another character: --delimiter" } else { "" };
        let advice = match held.and_then(|at| self.names.get(at)).filter(|name| !name.is_empty()) {
            Some(name) => format!("column {name:?} holds one: use --address-column {name:?}"),
            None => "name one column email, or choose one with --address-column".to_owned(),
        };
        format!("has no address column; {advice} (found: {}){other}", self.list())
    }

    fn list(&self) -> String {
        shortened(&self.names.join(", "))
    }
}

/// Returns the values of a record. What is not UTF-8 is replaced: the survey reports it.
fn values<R: Read>(record: &Records<R>) -> Vec<String> {
    (0..record.columns()).map(|at| cell::value(&String::from_utf8_lossy(record.field(at))).into_owned()).collect()
}

fn looks_like_address(text: &str) -> bool {
    let address = text.rsplit_once('<').map_or(text, |(_, address)| address.trim_end_matches('>'));
    let is_separator = |c: char| c.is_whitespace() || matches!(c, ',' | ';' | ':' | '|' | '"');
    address.split_once('@').is_some_and(|(local, domain)| {
        let is_domain = domain.contains('.') && domain.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '.'));
        !local.is_empty() && !local.contains(is_separator) && is_domain
    })
}

fn shortened(text: &str) -> String {
    text.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, delimiter: Option<&str>, column: Option<&str>) -> Result<CsvHeader, String> {
        let format = CsvRowFormat {
            delimiter: delimiter.map(|text| text.parse().expect("a delimiter")),
            address_column: column.map(str::to_owned),
        };
        CsvHeader::read(&format, || Ok(text.as_bytes()))
    }

    #[test]
    fn delimiter_and_address_column_are_found() {
        for (text, delimiter, records, names, address) in [
            ("email,name\n", b',', 1, &["email", "name"][..], 0),
            ("name;E-Mail\n", b';', 1, &["name", "E-Mail"], 1),
            ("name\temail\tcity\n", b'\t', 1, &["name", "email", "city"], 1),
            ("name|email", b'|', 1, &["name", "email"], 1),
            ("email\n", b',', 1, &["email"], 0),
            ("\"Name, full\";\"E-mail\"\n", b';', 1, &["Name, full", "E-mail"], 1),
            ("\"Name; full\",\"E-mail\",x\n", b',', 1, &["Name; full", "E-mail", "x"], 1),
            ("email\t;name\n", b'\t', 1, &["email", ";name"], 0),
            ("email,first;last,a;b;c\n", b',', 1, &["email", "first;last", "a;b;c"], 0),
            ("\"name\nof; it\"; \"e-mail\" ;\r\n", b';', 1, &["name\nof; it", "e-mail", ""], 1),
            ("sep=;\r\nname;email\r\n", b';', 2, &["name", "email"], 1),
            ("\"sep=|\"\nname|email\n", b'|', 2, &["name", "email"], 1),
            ("sep=:\nname:email\n", b':', 2, &["name", "email"], 1),
            ("#TYPE Selected.X, Y\r\n\"name\",\"mail\"\r\n", b',', 2, &["name", "mail"], 1),
            ("\n\r\n,email\n", b',', 1, &["", "email"], 1),
            (" email , name \n", b',', 1, &["email", "name"], 0),
            ("=\"email\",name\n", b',', 1, &["email", "name"], 0),
        ] {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let expected = CsvHeader { delimiter, records, names, address };
            assert_eq!(read(text, None, None), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn flags_take_precedence() {
        let found = |text, delimiter, column| {
            read(text, delimiter, column).map(|header| (header.delimiter, header.names.len(), header.address))
        };
        assert_eq!(found("name^email\n", Some("^"), None), Ok((b'^', 2, 1)));
        assert_eq!(found("sep=,\nname;email,x\n", Some(";"), None).map_err(|_| ()), Err(()));
        assert_eq!(found("sep=,\nname;email\n", Some(";"), None), Ok((b';', 2, 1)));
        assert_eq!(found("Email,Work Email\n", None, Some("work email")), Ok((b',', 2, 1)));
        assert_eq!(found("Kontakt;Name\n", None, Some("Kontakt")), Ok((b';', 2, 0)));
    }

    /// With a wrong delimiter, this header has too many columns.
    #[test]
    fn a_header_is_readable_with_one_delimiter() {
        let commas = ",".repeat(1_500);
        let header = read(&format!("email;\"x\";{commas}\n"), None, None).expect("a header");
        assert_eq!((header.delimiter, header.names.len()), (b';', 3));
        let problem = read(&format!("email{commas}\n"), None, None).expect_err("too many columns");
        assert_eq!(problem, "has an invalid header: it has 1501 fields; a row may have 1000");
    }

    #[test]
    fn problems_name_the_columns_and_the_cure() {
        for (text, delimiter, column, problem) in [
            ("", None, None, "is empty: it needs a header and rows"),
            ("\n\n", None, None, "is empty: it needs a header and rows"),
            ("sep=;\n", None, None, "is empty: it needs a header and rows"),
            (
                "Email,name,Work Email\n",
                None,
                None,
                "has more than one address column: \"Email\" (column 1), \"Work Email\" (column 3); choose one, such \
                 as --address-column \"Email\"",
            ),
            (
                "email,name,email\n",
                None,
                None,
                "has two columns named email: \"email\" (column 1), \"email\" (column 3); rename one",
            ),
            (
                "name;phone\nAnn;1\n",
                None,
                None,
                "has no address column; name one column email, or choose one with --address-column (found: name, \
                 phone)",
            ),
            (
                "Name;Kontakt\nAnn;ann@example.org\n",
                None,
                None,
                "has no address column; column \"Kontakt\" holds one: use --address-column \"Kontakt\" \
                 (found: Name, Kontakt)",
            ),
            (
                "Ann;ann@example.org\n",
                None,
                None,
                "has no header: its first line holds an address; add a first line with a name for each column, such as \
                 name;email",
            ),
            (
                "Ann <ann@example.org>\n",
                None,
                Some("x"),
                "has no header: its first line holds an address; add a first line with a name for each column, such as \
                 email",
            ),
            ("a,b\n", None, Some("c"), "has no column \"c\" (--address-column); found: a, b"),
            (
                "A,a\n",
                None,
                Some("-a"),
                "has more than one column \"-a\" (--address-column): \"A\" (column 1), \"a\" (column 2)",
            ),
            ("email;x,to\n", None, None, "may be separated by comma or by semicolon; choose one with --delimiter"),
            (
                "sep=ab\nemail\n",
                None,
                None,
                "can't be read: its first line names the delimiter \"ab\", which can't be one",
            ),
            (
                "email,name\n1,ann@example.org,Ann\n",
                None,
                None,
                "has no name for the first column of its rows, as R writes it; add one to the header, or export with \
                 row.names = FALSE",
            ),
            (
                "email;name\n",
                Some(","),
                None,
                "has no address column; name one column email, or choose one with --address-column (found: \
                 email;name); the fields may be separated by another character: --delimiter",
            ),
        ] {
            assert_eq!(read(text, delimiter, column), Err(problem.to_owned()), "{text:?}");
        }
    }
}
