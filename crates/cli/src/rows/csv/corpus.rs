//! Files as programs write them, made by `tests/corpus/make.py`, and random tables of
//! `tests/corpus/dialects.py`.

use std::{path::Path, process::Command};

use serde_json::Value;

use super::CsvRowFormat;
use crate::rows::{
    input::{InputFile, RowSource},
    row::Unreadable,
};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus");

const PEOPLE: &[&str] = &[
    "zofia@example.org|Zofia|Żółć|Łódź",
    "jurgen@example.org|Jürgen \"Jott\"|Müller|Köln; Süd",
    "ipek@example.org|İpek|Ağaoğlu|İzmir, Türkiye",
    "taro@example.org|太郎|山田|東京\n千代田区",
];
const ASCII: &[&str] = &["ann@example.org|Ann|Lee|Leeds", "ben@example.org|Ben|Orr|Derry, NI"];

/// A file with what is read from it.
#[derive(Clone)]
struct ProgramFile {
    file: &'static str,
    format: CsvRowFormat,
    /// Columns that follow the address in each row below.
    columns: &'static [&'static str],
    /// Address and columns of each row, or `LINE: PROBLEM`.
    rows: Vec<String>,
}

/// Returns these parts of each person: 0 is the address.
fn parts(of: &[&str], parts: &[usize]) -> Vec<String> {
    let person = |text: &&str| {
        let all: Vec<&str> = text.split('|').collect();
        parts.iter().map(|part| all[*part]).collect::<Vec<_>>().join("|")
    };
    of.iter().map(person).collect()
}

fn sample(file: &'static str, columns: &'static [&'static str], rows: Vec<String>) -> ProgramFile {
    ProgramFile { file, format: CsvRowFormat::default(), columns, rows }
}

/// A file of all people, with the columns of first name, last name and city.
fn all(file: &'static str, columns: &'static [&'static str; 3]) -> ProgramFile {
    sample(file, columns, parts(PEOPLE, &[0, 1, 2, 3]))
}

/// A file of all people, with the columns of first and last name.
fn named(file: &'static str, columns: &'static [&'static str; 2]) -> ProgramFile {
    sample(file, columns, parts(PEOPLE, &[0, 1, 2]))
}

fn first_names(file: &'static str, column: &'static [&'static str; 1]) -> ProgramFile {
    sample(file, column, parts(PEOPLE, &[0, 1]))
}

/// A file of all people, with the columns of first name and city.
fn cities(file: &'static str) -> ProgramFile {
    sample(file, &["name", "city"], parts(PEOPLE, &[0, 1, 3]))
}

fn ascii(file: &'static str, columns: &'static [&'static str; 3]) -> ProgramFile {
    sample(file, columns, parts(ASCII, &[0, 1, 2, 3]))
}

fn rows(file: &'static str, columns: &'static [&'static str], rows: &[&str]) -> ProgramFile {
    sample(file, columns, rows.iter().map(|row| (*row).to_owned()).collect())
}

impl ProgramFile {
    fn with_delimiter(mut self, delimiter: &str) -> Self {
        self.format.delimiter = Some(delimiter.parse().expect("a delimiter"));
        self
    }

    fn with_address_column(mut self, name: &str) -> Self {
        self.format.address_column = Some(name.to_owned());
        self
    }

    #[track_caller]
    fn check(&self, folder: &Path) {
        let found = read(&folder.join(self.file), &self.format, self.columns);
        let found = found.map_err(|error| error.replace(&format!("{}/", folder.display()), ""));
        assert_eq!(found.as_ref(), Ok(&self.rows), "{}", self.file);
    }
}

/// Reads a file as the command does.
fn read(path: &Path, format: &CsvRowFormat, columns: &[&str]) -> Result<Vec<String>, String> {
    let file = InputFile::new(path.to_str().expect("UTF-8"));
    let source = RowSource::Csv { file, format: format.clone() }.scan(false).map_err(|error| error.to_string())?;
    let rows = source.rows().map_err(|error| error.to_string())?;
    let text = |vars: &serde_json::Map<String, Value>, column: &str| match &vars[column] {
        Value::String(text) => text.clone(),
        other => panic!("{column} is {other}"),
    };
    Ok(rows
        .map(|row| match row {
            Ok(row) => {
                let columns = columns.iter().map(|column| text(&row.mail.vars, column));
                [row.mail.to[0].to_string()].into_iter().chain(columns).collect::<Vec<_>>().join("|")
            }
            Err(Unreadable::Row { line, problem }) => format!("{line}: {problem}"),
            Err(Unreadable::Input(problem)) => panic!("{problem}"),
        })
        .collect())
}

fn run(script: &str, args: &[&str]) -> String {
    let output = Command::new("python3").arg(format!("{SCRIPTS}/{script}")).args(args).output();
    let output = output.expect("python3 runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

const EN: &[&str; 3] = &["First Name", "Last Name", "City"];
const FIRST_LAST: &[&str; 2] = &["First Name", "Last Name"];

fn spreadsheets() -> Vec<ProgramFile> {
    vec![
        all("excel_en_utf8.csv", &["First name", "Last name", "City"]),
        all("excel_pl_utf8.csv", &["Imię", "Nazwisko", "Miasto"]),
        all("excel_de_utf8.csv", &["Vorname", "Nachname", "Ort"]),
        all("excel_fr_utf8.csv", &["Prénom", "Nom", "Ville"]),
        all("excel_es_utf8.csv", &["Nombre", "Apellidos", "Ciudad"]),
        all("excel_tr_utf8.csv", &["Ad", "Soyad", "Şehir"]),
        all("excel_ja_utf8.csv", &["名", "姓", "市区町村"]),
        all("excel_en_unicode.txt", &["First name", "Last name", "City"]),
        all("excel_pl_unicode.txt", &["Imię", "Nazwisko", "Miasto"]),
        all("excel_de_unicode.txt", &["Vorname", "Nachname", "Ort"]),
        all("excel_fr_unicode.txt", &["Prénom", "Nom", "Ville"]),
        all("excel_es_unicode.txt", &["Nombre", "Apellidos", "Ciudad"]),
        all("excel_tr_unicode.txt", &["Ad", "Soyad", "Şehir"]),
        all("excel_ja_unicode.txt", &["名", "姓", "市区町村"]),
        ascii("excel_ansi_ascii.csv", EN),
        ascii("excel_mac_cr.csv", EN),
        all("excel_sep.csv", EN),
        all("excel_sep_tab.csv", EN),
        all("excel_sep_resaved.csv", EN),
        all("excel_unicode_be.txt", EN),
        all("excel_blank_rows.csv", EN),
        rows("excel_short_rows.csv", &["name", "city"], &["ann@example.org||", "ben@example.org|Ben|"]),
        rows("excel_text_numbers.csv", &["name", "id"], &["ann@example.org|Ann|00123"]),
        all("libreoffice.csv", EN),
        all("libreoffice_quoted.csv", EN),
        all("libreoffice_tab.csv", EN),
        all("libreoffice_pipe.csv", EN),
        all("libreoffice_colon.csv", EN).with_delimiter(":"),
        all("libreoffice_utf16.csv", EN),
        all("numbers.csv", EN),
        all("google_sheets.csv", EN),
        first_names("google_forms.csv", &["Imię i nazwisko"]),
    ]
}

fn address_books() -> Vec<ProgramFile> {
    vec![
        ascii("outlook.csv", &["First Name", "Last Name", "Home City"]),
        all("outlook_com.csv", &["First Name", "Last Name", "Home City"]),
        all("outlook_de.csv", &["Vorname", "Nachname", "Ort"]),
        all("thunderbird.csv", EN),
        all("thunderbird.txt", EN),
        named("thunderbird_de.csv", &["Vorname", "Nachname"]),
        named("google_contacts.csv", FIRST_LAST),
        named("google_contacts_old.csv", &["Given Name", "Family Name"]),
        named("google_workspace.csv", &["First Name [Required]", "Last Name [Required]"]),
        sample("powershell.csv", &["GivenName", "Surname"], parts(ASCII, &[0, 1, 2])),
        first_names("powershell_ad.csv", &["displayName"]),
    ]
}

fn services() -> Vec<ProgramFile> {
    vec![
        named("mailchimp.csv", FIRST_LAST),
        named("brevo.csv", &["FIRSTNAME", "LASTNAME"]),
        named("hubspot.csv", FIRST_LAST),
        named("hubspot_work.csv", FIRST_LAST).with_address_column("work email"),
        named("salesforce.csv", FIRST_LAST),
        first_names("stripe_customers.csv", &["Name"]),
        first_names("stripe_payments.csv", &["Customer Description"]),
        first_names("wordpress.csv", &["display_name"]),
        named("woocommerce.csv", &["Billing First Name", "Billing Last Name"]),
        named("shopify.csv", FIRST_LAST),
        sample("listmonk.csv", &["name", "attributes"], {
            let json = "|{\"city\": \"Köln\", \"tags\": [\"a\", \"b\"]}";
            parts(PEOPLE, &[0, 1]).into_iter().map(|row| row + json).collect()
        }),
        named("moodle.csv", &["firstname", "lastname"]),
        first_names("typeform.csv", &["What is your name?"]).with_address_column("Kontakt"),
    ]
}

const FIELDS: &str = "it has 4 fields, but the header has 3 (a field that contains the delimiter needs quotes)";

fn databases() -> Vec<ProgramFile> {
    let name_and_city = &["name", "city"];
    let nulls = &["ann@example.org|Ann|Leeds", "ben@example.org|Ben|Derry, NI", "cleo@example.org||"];
    // MySQL continues the row behind the backslash.
    let mut outfile = parts(PEOPLE, &[0, 1, 3]);
    outfile[3] = "taro@example.org|太郎|東京\\".to_owned();
    outfile.push("6: address: \"千代田区\" is not an e-mail address: it has no @".to_owned());
    vec![
        sample("mysql_outfile_tab.txt", name_and_city, outfile),
        rows("mysql_outfile_null.csv", name_and_city, nulls),
        rows("mysql_batch.txt", name_and_city, &["ann@example.org|Ann|NULL", "ben@example.org|Ben|Derry, NI"]),
        first_names("phpmyadmin.csv", &["name"]),
        cities("psql_copy.csv"),
        cities("psql_copy_quoted.csv"),
        rows("psql_copy_text.txt", name_and_city, &["ann@example.org|Ann|", "ben@example.org|Ben|Derry, NI"]),
        rows(
            "psql_unaligned.txt",
            &["name"],
            &[
                "ann@example.org|Ann",
                "ben@example.org|Ben",
                "4: address: \"(2 rows)\" is not an e-mail address: it has no @",
            ],
        ),
        sample("sqlite3.csv", &["first", "city"], parts(PEOPLE, &[0, 1, 3])),
        cities("three_marks.csv"),
        cities("r_write_csv.csv"),
        cities("r_write_csv2.csv"),
        cities("r_write_table_plain.txt"),
        cities("pandas.csv"),
        cities("pandas_sig.csv"),
        cities("pandas_utf16.csv"),
        cities("pandas_quoted.csv"),
        rows("pandas_escaped.csv", name_and_city, &["ann@example.org|Ann|Leeds", &format!("3: {FIELDS}")]),
        rows("hand_spaces.csv", name_and_city, &["ann@example.org|Ann|Leeds", "ben@example.org|Ben, Orr|Derry"]),
    ]
}

/// Files that are refused before any row, with the message.
const REFUSED: &[(&str, &str)] = &[
    (
        "excel_pl_ansi.csv",
        "excel_pl_ansi.csv is not UTF-8, line 2: it is probably windows-1250 (then this line has \"Gąsior\"); convert \
         it: iconv -f WINDOWS-1250 -t UTF-8 excel_pl_ansi.csv > excel_pl_ansi.utf8.csv",
    ),
    (
        "excel_de_ansi.csv",
        "excel_de_ansi.csv is not UTF-8, line 2: it is probably windows-1252 (then this line has \"Jürgen\"); convert \
         it: iconv -f WINDOWS-1252 -t UTF-8 excel_de_ansi.csv > excel_de_ansi.utf8.csv",
    ),
    (
        "excel_fr_ansi.csv",
        "excel_fr_ansi.csv is not UTF-8, line 2: it is probably windows-1252 (then this line has \"Hélène\"); convert \
         it: iconv -f WINDOWS-1252 -t UTF-8 excel_fr_ansi.csv > excel_fr_ansi.utf8.csv",
    ),
    (
        "excel_tr_ansi.csv",
        "excel_tr_ansi.csv is not UTF-8, line 2: it is probably windows-1254 (then this line has \"İpek\"); convert \
         it: iconv -f WINDOWS-1254 -t UTF-8 excel_tr_ansi.csv > excel_tr_ansi.utf8.csv",
    ),
    (
        "excel_ja_ansi.csv",
        "excel_ja_ansi.csv is not UTF-8, line 2: it is probably Shift_JIS (then this line has \"太郎\"); convert \
         it: iconv -f CP932 -t UTF-8 excel_ja_ansi.csv > excel_ja_ansi.utf8.csv",
    ),
    (
        "excel_mac_roman.csv",
        "excel_mac_roman.csv is not UTF-8, line 2: it is probably Mac Roman (then this line has \"Jürgen\"); convert \
         it: iconv -f MACINTOSH -t UTF-8 excel_mac_roman.csv > excel_mac_roman.utf8.csv",
    ),
    (
        "excel_msdos.csv",
        "excel_msdos.csv is not UTF-8, line 2: it is probably DOS code page 852; convert \
         it: iconv -f CP852 -t UTF-8 excel_msdos.csv > excel_msdos.utf8.csv",
    ),
    (
        "excel_utf16_no_mark.txt",
        "excel_utf16_no_mark.txt is not UTF-8, line 1: it is probably UTF-16LE; convert \
         it: iconv -f UTF-16LE -t UTF-8 excel_utf16_no_mark.txt > excel_utf16_no_mark.utf8.txt",
    ),
    (
        "excel_workbook.csv",
        "excel_workbook.csv is no text but an Excel or OpenDocument workbook or a ZIP archive: save it as CSV UTF-8",
    ),
    (
        "libreoffice_latin2.csv",
        "libreoffice_latin2.csv is not UTF-8, line 2: it is probably ISO-8859-2 (then this line has \"Paweł\"); \
         convert it: iconv -f ISO-8859-2 -t UTF-8 libreoffice_latin2.csv > libreoffice_latin2.utf8.csv",
    ),
    (
        "libreoffice_colon.csv",
        "libreoffice_colon.csv has no address column; name one column email, or choose one with --address-column \
         (found: First Name:Last Name:E-mail:City); the fields may be separated by another character: --delimiter",
    ),
    (
        "linkedin.csv",
        "linkedin.csv has no address column; name one column email, or choose one with --address-column \
         (found: Notes:); the fields may be separated by another character: --delimiter",
    ),
    (
        "hubspot_work.csv",
        "hubspot_work.csv has more than one address column: \"Email\" (column 4), \"Work email\" (column 5); choose \
         one, such as --address-column \"Email\"",
    ),
    (
        "typeform.csv",
        "typeform.csv has no address column; column \"Kontakt\" holds one: use --address-column \"Kontakt\" \
         (found: #, What is your name?, Kontakt, Start Date)",
    ),
    (
        "sendy.csv",
        "sendy.csv has no header: its first line holds an address; add a first line with a name for each column, such \
         as name,email",
    ),
    (
        "mysql_outfile.txt",
        "mysql_outfile.txt has no header: its first line holds an address; add a first line with a name for each \
         column, such as email\\tname\\tname",
    ),
    (
        "mysql_outfile_quoted.csv",
        "mysql_outfile_quoted.csv, line 3: a quote is escaped with a backslash (\\\"); CSV doubles \
         it (\"\"): in MySQL, export with ESCAPED BY '\"'",
    ),
    (
        "pandas_escaped_quote.csv",
        "pandas_escaped_quote.csv, line 3: a quote is escaped with a backslash (\\\"); CSV doubles \
         it (\"\"): in MySQL, export with ESCAPED BY '\"'",
    ),
    (
        "r_write_table.txt",
        "r_write_table.txt has no name for the first column of its rows, as R writes it; add one to the header, or \
         export with row.names = FALSE",
    ),
    (
        "hand_open_quote.csv",
        "hand_open_quote.csv, line 3: the quote opened here is never closed: it swallows the 2 lines from here on",
    ),
    (
        "hand_stray_quote.csv",
        "hand_stray_quote.csv, line 2: text follows the quote that closes a field; write a quote inside a quoted field \
         twice (\"\")",
    ),
];

#[test]
fn files_of_programs_are_read_or_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    run("make.py", &[folder.path().to_str().expect("UTF-8")]);
    let mut samples = [spreadsheets(), address_books(), services(), databases()].concat();
    samples.push(rows(
        "concatenated.csv",
        &["name", "city"],
        &[
            "ann@example.org|Ann|Leeds",
            "3: address: \"email\" is not an e-mail address: it has no @",
            "ben@example.org|Ben|Derry, NI",
        ],
    ));
    samples.iter().for_each(|sample| sample.check(folder.path()));
    for (file, message) in REFUSED {
        let found = read(&folder.path().join(file), &CsvRowFormat::default(), &[]).expect_err(file);
        let found = found.replace(&format!("{}/", folder.path().display()), "");
        assert_eq!(found, format!("--csv: {message}"), "{file}");
    }
    let made = std::fs::read_dir(folder.path()).expect("a folder");
    for file in made.map(|file| file.expect("a file").file_name().into_string().expect("UTF-8")) {
        let is_listed =
            samples.iter().any(|sample| sample.file == file) || REFUSED.iter().any(|(name, _)| *name == file);
        assert!(is_listed, "{file} has no expected rows");
    }
}

/// Python's csv writes random tables with all its dialects of one quote character.
#[test]
fn random_tables_of_python_are_read_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let seed = std::env::var("POSTROOM_FUZZ_SEED").ok().filter(|seed| !seed.is_empty());
    let seed = seed.unwrap_or_else(|| std::process::id().to_string());
    let path = folder.path().join("random.csv");
    for line in run("dialects.py", &[&seed, "300"]).lines() {
        let table: Value = serde_json::from_str(line).expect("JSON");
        let hex = table["file"].as_str().expect("hex").as_bytes();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hex");
        std::fs::write(&path, hex.chunks(2).map(byte).collect::<Vec<_>>()).expect("a file");
        let address = table["address"].as_str().expect("a name");
        let records = table["rows"].as_array().expect("rows");
        let columns: Vec<&str> = records[0].as_object().expect("a row").keys().map(String::as_str).collect();
        let columns: Vec<&str> = columns.into_iter().filter(|name| *name != address).collect();
        let order: Vec<&str> = [address].into_iter().chain(columns.iter().copied()).collect();
        let row =
            |row: &Value| order.iter().map(|name| row[name].as_str().expect("text")).collect::<Vec<_>>().join("|");
        let expected: Vec<String> = records.iter().map(row).collect();
        let found = read(&path, &CsvRowFormat::default(), &columns);
        assert_eq!(found, Ok(expected), "seed {seed}: {line}");
    }
}
