//! HTML reading in one pass and in linear time, whatever the input.
//!
//! No tree is built, so nesting costs neither time nor stack.

mod attributes;
mod elements;
mod open_elements;
mod raw;
mod same;
mod text;
mod text_writer;
mod visibility;

use html5ever::{
    tendril::StrTendril,
    tokenizer::{BufferQueue, TokenSink, Tokenizer, TokenizerOpts},
};

pub(crate) use html5ever::LocalName;

pub(crate) use self::{
    elements::is_void, open_elements::OpenElements, raw::is_raw, same::differs_only_in_styles, text::text_of_html,
};

/// Bytes fed to the tokenizer between two checks of [`Reader::is_done`].
const PIECE: usize = 16 << 10;

/// Consumer of HTML tokens.
trait Reader: TokenSink<Handle = ()> {
    /// Whether the rest of the document can't change the result.
    fn is_done(&self) -> bool;
}

/// Passes the tokens of a document to a reader until the document ends or the reader is done.
fn read<R: Reader>(html: &str, reader: R) -> R {
    let html = attributes::bounded(html);
    let tokenizer = Tokenizer::new(reader, TokenizerOpts::default());
    let queue = BufferQueue::default();
    let mut rest = &*html;
    while !rest.is_empty() && !tokenizer.sink.is_done() {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(PIECE));
        queue.push_back(StrTendril::from_slice(piece));
        // No reader pauses the tokenizer, so the result is always "done".
        let _ = tokenizer.feed(&queue);
        rest = after;
    }
    tokenizer.end();
    tokenizer.sink
}
