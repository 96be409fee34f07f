//! The rows of a bulk, read one by one from a CSV, from JSON lines or from addresses on the command
//! line.

mod complaints;
mod csv;
mod encoding;
mod encoding_guess;
#[cfg(test)]
mod fuzz;
mod input;
mod json_records;
mod jsonl;
mod line_count;
mod row;
mod row_filter;
mod row_notes;
mod seen_addresses;
mod survey;

pub(crate) use self::{
    csv::{CsvRowFormat, Delimiter},
    input::{InputFile, RowSource, ScannedSource},
    jsonl::JsonRowFormat,
    row::BulkRow,
    row_filter::{FIRST_ROWS, RowFilter},
};
