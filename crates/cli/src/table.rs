//! Plain-text tables.

use comfy_table::{ContentArrangement, presets};
use postroom_core::Escaped;

/// A table without borders. Control characters in cells are escaped, so a cell has one line.
pub(crate) struct TextTable(comfy_table::Table);

/// Returns an empty table with these columns.
pub(crate) fn with(columns: &[&str]) -> TextTable {
    let mut table = comfy_table::Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(columns);
    TextTable(table)
}

impl TextTable {
    /// Adds a row.
    pub(crate) fn add_row<T: std::fmt::Display>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.0.add_row(cells.into_iter().map(|cell| Escaped(cell).to_string()));
    }

    /// Returns the table without trailing spaces.
    pub(crate) fn trim_fmt(&self) -> String {
        self.0.trim_fmt()
    }
}
