//! The rows of a bulk, read one by one from a CSV, from JSON lines or from addresses on the command
//! line.

mod csv;
#[cfg(test)]
mod fuzz;
mod input;
mod json_records;
mod jsonl;
mod lines;
mod records;
mod row;
mod row_filter;
mod seen_addresses;

pub(crate) use self::{
    input::{InputFile, RowSource, ScannedSource},
    jsonl::JsonRowFormat,
    row::BulkRow,
    row_filter::{FIRST_ROWS, RowFilter},
};
