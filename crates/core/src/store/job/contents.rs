//! Contents of files and large bodies, stored once for all jobs of a queue that use them.

use crate::{
    Content, ContentHash, QueueName, Result,
    store::{
        connection::Store,
        script::{Args, ReplyWords, Script, unexpected},
    },
};

/// Approximate maximum number of bytes sent in one call.
const MOST_BYTES: usize = 4 << 20;

impl Store {
    /// Reads the content with this hash; `None` if no job uses it any more.
    pub async fn content(&self, queue: &QueueName, hash: ContentHash) -> Result<Option<Content>> {
        let key = self.keys.of_queue(queue, &format!("a:{hash}"));
        let bytes: Option<Vec<u8>> = self.run(redis::cmd("HGET").arg(key).arg("content")).await?;
        Ok(bytes.map(Content::from))
    }

    pub(in crate::store) async fn keep_contents(&self, queue: &QueueName, contents: &[&Content]) -> Result<()> {
        let (mut args, mut bytes) = (Args::default(), 0);
        for (place, content) in contents.iter().enumerate() {
            args.push(content.hash()).push_bytes(content.bytes());
            bytes += content.size();
            if bytes >= MOST_BYTES || place + 1 == contents.len() {
                let mut reply =
                    ReplyWords::new(self.call(Script::ContentKeep, queue, std::mem::take(&mut args)).await?);
                bytes = 0;
                match reply.next::<String>()?.as_str() {
                    "kept" => {}
                    other => return Err(unexpected(other)),
                }
            }
        }
        Ok(())
    }
}
