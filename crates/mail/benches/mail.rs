//! Benchmarks of making a message: rendering a shipped template and composing the result.

use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use postroom_core::Mail;
use postroom_mail::{Identity, Templates, compose};
use serde_json::json;

fn message(criterion: &mut Criterion) {
    let templates = Templates::load(concat!(env!("CARGO_MANIFEST_DIR"), "/../../templates")).expect("templates");
    let mail: Mail = serde_json::from_value(json!({
        "from": "Bench <bench@example.org>",
        "to": "Ann <ann@example.org>",
        "template": "newsletter",
        "vars": {"title": "The first issue", "intro": "This mail was sent by Postroom.", "name": "Ann"},
    }))
    .expect("a mail");
    let mail = Arc::new(mail);
    let rendered = templates.render_mail(&mail).expect("rendered");
    let identity = Identity {
        message_id: "emails-01ARZ3NDEKTSV4RRFFQ69G5FAV@example.org".to_owned(),
        date_ms: 1_700_000_000_000,
        boundary_seed: "emails-01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned(),
        generation: 0,
    };
    let mut group = criterion.benchmark_group("message");
    group.bench_function("render/newsletter", |bencher| bencher.iter(|| templates.render_mail(&mail)));
    group.bench_function("compose/newsletter", |bencher| {
        bencher.iter(|| compose(&mail, rendered.clone(), &identity, None));
    });
    group.finish();
}

criterion_group!(benches, message);
criterion_main!(benches);
