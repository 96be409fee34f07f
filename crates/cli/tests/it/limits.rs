//! `postroom limits`: configured limits, overrides, and invalid names.

use serde_json::{Value, json};

use crate::fixture::Fixture;

fn listed(fixture: &Fixture) -> Vec<Value> {
    let text = fixture.ok(&["limits", "--json"]);
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn shown<'a>(all: &'a [Value], limit: &str) -> &'a Value {
    all.iter().find(|row| row["limit"] == limit).unwrap_or(&Value::Null)
}

#[test]
fn limits_are_set_shown_and_unset() {
    let fixture = Fixture::new();
    fixture.file("postroom.toml", "[queue.bulk]\nrate = \"100/m\"\n");
    assert_eq!(listed(&fixture).len(), 1);
    fixture.ok(&["limits", "set", "transport.default", "2/s"]);
    fixture.ok(&["limits", "set", "queue.bulk", "none"]);
    let all = listed(&fixture);
    let (bulk, transport) = (shown(&all, "queue.bulk"), shown(&all, "transport.default"));
    assert_eq!((&bulk["rate"], &bulk["configured"], &bulk["set"]), (&Value::Null, &json!("100/m"), &json!(true)));
    assert_eq!((&transport["rate"], &transport["configured"]), (&json!("2/s"), &Value::Null));
    let table = fixture.ok(&["limits"]);
    assert!(table.contains("transport.default") && table.contains("100/m"), "{table}");
    assert!(fixture.ok(&["limits", "unset", "queue.bulk"]).contains("is 100/m now, as configured"));
    assert!(fixture.ok(&["limits", "unset", "transport.default"]).contains("is none now, as configured"));
    let all = listed(&fixture);
    assert_eq!((all.len(), &all[0]["rate"], &all[0]["set"]), (1, &json!("100/m"), &json!(false)), "{all:?}");
}

#[test]
fn a_batch_has_its_own_limit() {
    let fixture = Fixture::new();
    let row = "{\"to\": \"a@example.org\", \"subject\": \"s\", \"text\": \"t\"}\n";
    let id = fixture.run_with(&["bulk", "--jsonl", "-"], row.as_bytes()).out().to_owned();
    assert_eq!(listed(&fixture), Vec::<Value>::new());
    fixture.ok(&["limits", "set", &id, "5s"]);
    assert_eq!(shown(&listed(&fixture), &id)["rate"], "one every 5s");
    fixture.ok(&["limits", "set", &id, "100/m"]);
    assert_eq!(fixture.status(&id)["pace_us"], 600_000);
    fixture.ok(&["limits", "unset", &id]);
    assert_eq!(fixture.status(&id)["pace_us"], Value::Null);
}

#[test]
fn invalid_names_and_values_are_reported() {
    let fixture = Fixture::new().with_templates();
    for (args, words) in [
        (&["set", "template.nosuch", "2/s"][..], &["there is no template nosuch", "newsletter, password_reset"][..]),
        (&["set", "transport.defautl", "2/s"], &["there is no transport defautl; it may be default"]),
        (&["set", "queue.buk", "2/s"], &["there is no queue buk; it may be bulk, default, emails"]),
        (&["unset", "queue.buk"], &["there is no queue buk; it may be bulk, default, emails"]),
    ] {
        fixture.run(&[&["limits"], args].concat()).refused(4, words);
    }
    for (args, words) in [
        (&["set", "bulk", "2/s"][..], &["bulk", "it may be transport.NAME"][..]),
        (&["set", "queue.bulk", "2"], &["is not a limit", "2/s"]),
        (&["set", "queue.bulk", "5s"], &["a rate, as in 2/s"]),
        (&["set", "b.bulk.x", "5s"], &["b.bulk.x", "looks like"]),
    ] {
        fixture.run(&[&["limits"], args].concat()).refused(2, words);
    }
    fixture.run(&["limits", "set", "b.bulk.01ARZ3NDEKTSV4RRFFQ69G5FAV", "1/s"]).refused(4, &["not found"]);
    assert_eq!(listed(&fixture), Vec::<Value>::new());
}

/// A template may be configured only, or exist only on the workers' machines.
#[test]
fn templates_are_known_by_folder_and_settings() {
    let fixture = Fixture::new().with_templates();
    fixture.file("postroom.toml", "[template.later]\npriority = 1\n");
    fixture.ok(&["limits", "set", "template.later", "1/s"]);
    fixture.ok(&["limits", "set", "template.newsletter", "1/s"]);
    Fixture::new().ok(&["limits", "set", "template.nosuch", "1/s"]);
}
