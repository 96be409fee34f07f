//! An application enqueues an activation mail and continues at once.
//!
//! ```sh
//! cargo run -p postroom-enqueue --example signup
//! ```

use std::time::Duration;

use postroom_enqueue::{Mail, Options, Postroom, Priority, Result};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<()> {
    let url = std::env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379/0".to_owned());
    let postroom = Postroom::connect(&url).await?;

    let vars = json!({
        "name": "Ann",
        "site_name": "Example",
        "activation_url": "https://example.org/activate/1234",
    });
    let mail = Mail {
        to: vec!["Ann <ann@example.org>".parse()?],
        template: Some("user_activation".to_owned()),
        vars: vars.as_object().cloned().unwrap_or_default(),
        locale: Some("en".to_owned()),
        ..Mail::default()
    };
    // With the key, a second click on the button sends no second mail.
    let options = Options {
        priority: Some(Priority::try_from(1)?),
        expires_in: Some(Duration::from_secs(24 * 3_600)),
        key: Some("activation-of-ann".to_owned()),
        ..Options::default()
    };
    let id = postroom.send(mail).with(options).await?;
    eprintln!("enqueued as {id}");

    let job = postroom.wait(&id, Duration::from_secs(2)).await?;
    eprintln!("state: {}", job.state);
    Ok(())
}
