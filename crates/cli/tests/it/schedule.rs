//! `postroom schedule`

use crate::fixture::Fixture;

const TOML: &str = r#"
[[schedule]]
name = "daily"
cron = "0 8 * * *"
timezone = "Europe/Warsaw"
subject = "Report"
text = "All is well."
to = ["Ann <ann@example.org>", "ben@example.org"]
priority = 2

[[schedule]]
name = "each"
every = "5m"
subject = "Report"
text = "All is well."
to = ["ann@example.org", "ben@example.org"]
each = true
enabled = false
"#;

#[test]
fn schedules_are_listed_with_the_next_five_fire_times() {
    let fixture = Fixture::new();
    assert!(fixture.ok(&["schedule", "list"]).contains("no [[schedule]]"));
    fixture.file("postroom.toml", TOML);
    let text = fixture.ok(&["schedule", "list"]);
    assert_eq!(text.matches(" 08:00:00 CE").count(), 5, "{text}");
    assert!(text.contains("each  every 5m (UTC, not enabled)"), "{text}");
    let first = fixture.ok(&["schedule", "list", "--json"]).lines().next().expect("a line").to_owned();
    let daily: serde_json::Value = serde_json::from_str(&first).expect("JSON");
    assert_eq!(daily["next"].as_array().map(Vec::len), Some(5));
    assert_eq!(daily["timezone"], "Europe/Warsaw");
}

#[test]
fn a_template_that_does_not_render_is_reported() {
    let fixture = Fixture::new().with_templates();
    let schedule = |name: &str, template: &str| {
        format!("[[schedule]]\nname = '{name}'\nevery = '1d'\nto = ['a@example.org']\ntemplate = '{template}'\n")
    };
    fixture.file("postroom.toml", [schedule("lost", "nosuch"), schedule("lacks", "newsletter")].concat());
    let ran = fixture.run(&["schedule", "list"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.mentions(&[
        "warning: the schedule lost can't be sent: template: nosuch: the template does not exist; the folder has",
        "warning: the schedule lacks can't be sent: template: newsletter: newsletter/",
        "Available variables: email",
    ]);
    fixture.run(&["schedule", "run", "lost"]).refused(2, &["nosuch"]);
}

#[test]
fn a_schedule_runs_now_as_one_mail_or_as_a_batch() {
    let fixture = Fixture::new();
    fixture.file("postroom.toml", TOML);
    let status = fixture.status(&fixture.ok(&["schedule", "run", "daily"]));
    assert_eq!(status["to"].as_array().map(Vec::len), Some(2));
    assert_eq!(status["priority"], 2);
    let batch = fixture.status(&fixture.ok(&["schedule", "run", "each"]));
    assert_eq!((&batch["total"], &batch["queue"], &batch["sealed"]), (&2.into(), &"bulk".into(), &true.into()));
    assert_eq!(fixture.run(&["schedule", "run", "each", "--wait", "50ms"]).code, 5);
}
