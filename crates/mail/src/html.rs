//! HTML, read in one pass and in time linear in its size, whatever its shape.
//!
//! Nothing here builds a tree: depth costs neither time nor stack.

mod attributes;
mod page;
mod raw;
mod shape;
mod skip;
mod text;

use html5ever::{
    tendril::StrTendril,
    tokenizer::{BufferQueue, TokenSink, Tokenizer, TokenizerOpts},
};

pub(crate) use self::{shape::Shape, text::text_of_html};

/// Bytes between two looks whether the reader wants more.
const PIECE: usize = 16 << 10;

/// A reader of tokens.
trait Reader: TokenSink<Handle = ()> {
    /// Whether the rest can't change its result.
    fn is_done(&self) -> bool;
}

/// Reads the tokens of a document until its end, or until the reader has enough.
fn read<R: Reader>(html: &str, reader: R) -> R {
    let html = attributes::bounded(html);
    let tokenizer = Tokenizer::new(reader, TokenizerOpts::default());
    let queue = BufferQueue::default();
    let mut rest = &*html;
    while !rest.is_empty() && !tokenizer.sink.is_done() {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(PIECE));
        queue.push_back(StrTendril::from_slice(piece));
        // It never pauses: no reader asks for that.
        let _ = tokenizer.feed(&queue);
        rest = after;
    }
    tokenizer.end();
    tokenizer.sink
}
