//! Plain tables for people.

use comfy_table::{ContentArrangement, Table, presets};

/// A table with these columns.
pub(crate) fn with(columns: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(columns);
    table
}
