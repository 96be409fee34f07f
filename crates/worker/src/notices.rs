//! Notices that a batch is done: by mail to an address, by webhook to a URL.

mod mail;
mod webhooks;

use std::sync::Arc;

use postroom_core::{Addressee, Policy, QueueName, Result, Store, store::Notice};

use self::{mail::MailNotices, webhooks::WebhookNotices};
use crate::{alerts::Alerts, redis_access::RedisAccess};

/// Sends the notices of all queues.
#[derive(Debug)]
pub(crate) struct Notices {
    store: Store,
    mail: MailNotices,
    webhooks: Arc<WebhookNotices>,
}

impl Notices {
    /// `policy` is the policy of the mails.
    pub(crate) fn new(
        redis: &RedisAccess,
        alerts: &Arc<Alerts>,
        client: postroom_mail::Webhooks,
        policy: Policy,
    ) -> Self {
        let mail = MailNotices::new(redis.store.clone(), policy);
        let webhooks = Arc::new(WebhookNotices::new(redis.clone(), Arc::clone(alerts), client, mail.clone()));
        Self { store: redis.store.clone(), mail, webhooks }
    }

    /// Sends all notices of a queue that are due.
    pub(crate) async fn dispatch(&self, queue: &QueueName) -> Result<()> {
        for Notice { batch, to } in self.store.notices(queue).await? {
            match to {
                Addressee::Mail(to) => self.mail.send(&batch, &to).await?,
                Addressee::Url(_) => self.store.add_webhook(&batch.id).await?,
            }
        }
        self.webhooks.call_due(queue).await
    }
}
