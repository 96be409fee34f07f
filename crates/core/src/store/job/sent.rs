//! Lists sent jobs, the latest first. They are stored in one list per hour.

use redis::Value;

use crate::{
    JobId, QueueName, Result,
    store::{connection::Store, script::LossyText},
};

impl Store {
    /// Returns the latest sent jobs of several queues in order of time.
    pub(in crate::store) async fn sent_ids(
        &self,
        queues: &[QueueName],
        offset: usize,
        limit: usize,
    ) -> Result<Vec<Option<JobId>>> {
        let mut heads = Vec::new();
        for queue in queues {
            let head = self.last_sent(queue, offset + limit).await?;
            if !head.is_empty() {
                heads.push(head);
            }
        }
        let ids = match heads.len() {
            0 | 1 => heads.pop().unwrap_or_default(),
            _ => self.by_time(heads.into_iter().flatten().collect()).await?,
        };
        Ok(ids.into_iter().skip(offset).take(limit).map(Some).collect())
    }

    /// Returns the last `number` sent jobs of one queue.
    async fn last_sent(&self, queue: &QueueName, number: usize) -> Result<Vec<JobId>> {
        let hours: Vec<LossyText> =
            self.run(redis::cmd("ZRANGE").arg(self.keys.of_queue(queue, "sent")).arg(0).arg(-1)).await?;
        let mut hours: Vec<u64> = hours.iter().filter_map(|hour| hour.0.parse().ok()).collect();
        hours.sort_unstable();
        let mut found = Vec::new();
        while let (true, Some(hour)) = (found.len() < number, hours.pop()) {
            let list = self.keys.of_queue(queue, &format!("sent:{hour}"));
            let missing = i64::try_from(number - found.len()).unwrap_or(i64::MAX);
            let last: Vec<LossyText> = self.run(redis::cmd("LRANGE").arg(list).arg(-missing).arg(-1)).await?;
            let id = |short: LossyText| format!("{queue}-{}", short.0).parse::<JobId>();
            found.extend(last.into_iter().rev().filter_map(|short| id(short).ok()));
        }
        Ok(found)
    }

    /// Sorts jobs of several queues by the time stored with each job.
    async fn by_time(&self, ids: Vec<JobId>) -> Result<Vec<JobId>> {
        let mut times = redis::pipe();
        for id in &ids {
            times.cmd("GETRANGE").arg(self.keys.payload(id)).arg(0).arg(21);
            times.cmd("HGET").arg(self.keys.hash(id)).arg("finished_ms");
        }
        let times: Vec<Value> = self.run_all(&times).await?;
        let mut all: Vec<(JobId, i64)> =
            ids.into_iter().zip(times.chunks(2)).map(|(id, values)| (id, sent_ms(values).unwrap_or(0))).collect();
        all.sort_by(|(one, earlier), (other, later)| later.cmp(earlier).then_with(|| other.cmp(one)));
        Ok(all.into_iter().map(|(id, _)| id).collect())
    }
}

/// Reads the time from the payload (`1 sent <ms> …`), or else from the hash.
fn sent_ms(values: &[Value]) -> Option<i64> {
    let text = |value: &Value| redis::from_redis_value_ref::<String>(value).ok();
    let [payload, hash] = values else { return None };
    let kept = text(payload)?;
    let kept = kept.split_once(" sent ").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
    kept.or_else(|| text(hash)?.parse().ok())
}
