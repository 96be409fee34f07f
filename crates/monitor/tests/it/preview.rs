//! Previews of mail that takes very long to render.

use std::{fs, path::Path, time::Duration};

use postroom_core::{
    JobId, Mail, Policy, Priority, QueueName,
    store::{Due, JobTerms, NewJob},
};
use postroom_testkit::eventually;
use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::fixture::Fixture;

/// Each iteration is slow: rendering reaches its limit of 5 s.
const ENDLESS: &str = "{% for a in xs %}{% for b in xs %}{% if 'x' in xs %}{% endif %}\
    {% if 'y' in xs %}{% endif %}{% endfor %}{% endfor %}";
const VIEWERS: usize = 20;
const LIMIT: Duration = Duration::from_secs(60);

fn template(folder: &Path, name: &str, html: &str) {
    fs::create_dir_all(folder.join(name)).unwrap();
    fs::write(folder.join(name).join("subject.txt"), "A subject").unwrap();
    fs::write(folder.join(name).join("body.html"), html).unwrap();
}

async fn job(site: &Fixture, template: &str) -> JobId {
    let numbers: Vec<usize> = (0..50_000).collect();
    let mail: Mail =
        serde_json::from_value(json!({"to": "a@example.org", "template": template, "vars": {"xs": numbers}})).unwrap();
    let id = JobId::new(QueueName::emails());
    let terms = JobTerms {
        priority: Priority::NORMAL,
        due: Due::Now,
        expires: None,
        policy: Policy::of_queue("emails"),
        sensitive: false,
    };
    let jobs = [NewJob { id: id.clone(), mail }];
    site.store.enqueue(&QueueName::emails(), None, &terms, &jobs).await.unwrap();
    id
}

#[tokio::test]
async fn an_endless_preview_is_reported_and_does_not_block_others() {
    let folder = tempfile::tempdir().unwrap();
    template(folder.path(), "endless", ENDLESS);
    // Too many iterations for the quick path, so that rendering needs the permit.
    template(folder.path(), "long", "{% for x in xs %}{% endfor %}<p>long</p>");
    let site = Fixture::with(&[("TEMPLATES_DIR", folder.path().to_str().unwrap())]).await;
    let (endless, long) = (job(&site, "endless").await, job(&site, "long").await);
    let page = site.get(&format!("/jobs/{endless}")).await;
    assert_eq!(page.status, 200, "{}", page.body);
    page.shows("more than");

    for _ in 0..VIEWERS {
        let mut viewer = TcpStream::connect(site.at).await.unwrap();
        let request = format!("GET /jobs/{endless}/preview HTTP/1.1\r\nHost: {}\r\n\r\n", site.at);
        viewer.write_all(request.as_bytes()).await.unwrap();
        // Time for the preview to start, if it is the first.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    eventually(LIMIT, "another preview is shown", async || {
        Some(site.get(&format!("/jobs/{long}/preview")).await).filter(|frame| frame.body.contains("<p>long</p>"))
    })
    .await;
}
