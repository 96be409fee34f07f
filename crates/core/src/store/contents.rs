//! Bytes of files and large bodies, kept once for all jobs of a queue that need them.

use super::{
    connection::{Args, Store},
    reply::unexpected,
};
use crate::{Content, ContentHash, QueueName, Result};

impl Store {
    /// The bytes that are kept under this hash; `None` when no job needs them any more.
    pub async fn content(&self, queue: &QueueName, hash: ContentHash) -> Result<Option<Content>> {
        let key = self.keys.of_queue(queue, &format!("a:{hash}"));
        let bytes: Option<Vec<u8>> = self.run(redis::cmd("HGET").arg(key).arg("content")).await?;
        Ok(bytes.map(Content::from))
    }

    pub(super) async fn keep_content(&self, queue: &QueueName, content: &Content) -> Result<()> {
        let mut args = Args::of([&content.hash().to_string()]);
        args.push_bytes(content.bytes());
        match self.call::<String>("content_keep", queue, args).await?.as_str() {
            "kept" | "known" => Ok(()),
            other => Err(unexpected(other)),
        }
    }
}
