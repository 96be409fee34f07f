//! Plain tables for people.

use comfy_table::{ContentArrangement, presets};
use postroom_core::Escaped;

/// A table whose cells stay in their rows, whatever they hold.
pub(crate) struct Table(comfy_table::Table);

/// A table with these columns.
pub(crate) fn with(columns: &[&str]) -> Table {
    let mut table = comfy_table::Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(columns);
    Table(table)
}

impl Table {
    /// Adds a row, each cell in one line.
    pub(crate) fn add_row<T: std::fmt::Display>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.0.add_row(cells.into_iter().map(|cell| Escaped(cell).to_string()));
    }

    /// The table without spaces at the ends of its lines.
    pub(crate) fn trim_fmt(&self) -> String {
        self.0.trim_fmt()
    }
}
