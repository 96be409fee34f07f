//! Tests of the process: settings, signals and idle load.

use std::time::Duration;

use postroom_core::{QueueName, store::ProcessKind};
use postroom_testkit::{PrivateRedis, Process, eventually, target_bin};

use crate::fixture::{EACH_SECOND, Fixture, LIMIT};

#[tokio::test]
async fn a_hang_up_reloads_the_file() {
    let fixture = Fixture::new().await;
    fixture.write(&EACH_SECOND.replace("1s", "1d"));
    let mut beat = fixture.process();
    beat.wait_for_line("schedule tick is new: every 1d", LIMIT).await;

    fixture.write("[[schedule]]\nname = 'tick'\nevery = '1 lightyear'");
    beat.hang_up();
    let line = beat.wait_for_line("the new settings are refused", LIMIT).await;
    assert!(line.contains("old ones stay in effect"), "{line}");
    assert_eq!(fixture.schedule("tick").await.settings.timing.to_string(), "every 1d");

    fixture.write(&format!("{EACH_SECOND}{}", EACH_SECOND.replace("'tick'", "'tock'").replace("1s", "1d")));
    beat.hang_up();
    beat.wait_for_line("schedule tick was changed by the file: every 1s", LIMIT).await;
    beat.wait_for_line("schedule tock is new", LIMIT).await;
    fixture.mails(2).await;

    fixture.write("");
    beat.hang_up();
    beat.wait_for_line("schedule tick is removed", LIMIT).await;
    let all = fixture.enqueued(&QueueName::emails()).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(fixture.enqueued(&QueueName::emails()).await, all);
    beat.terminate();
    assert_eq!(beat.wait(LIMIT).await.code(), Some(0));
}

#[tokio::test]
async fn a_template_that_does_not_render_is_logged() {
    let fixture = Fixture::new().await;
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, text).expect("written");
    };
    write("good/subject.txt", "Hi {{ email }}");
    write("good/body.txt", "{{ name }}");
    let schedule = |name: &str, rest: &str| {
        format!("[[schedule]]\nname = '{name}'\nevery = '1d'\nto = ['a@example.org', 'b@example.org']\n{rest}\n")
    };
    let good = "template = 'good'\neach = true\nvars = { name = 'Ann' }";
    fixture.write(&[schedule("fine", good), schedule("lost", "template = 'nosuch'")].concat());
    let mut beat = fixture.process_with(&[("TEMPLATES_DIR", folder.path().to_str().expect("UTF-8"))]);
    let line = beat.wait_for_line("can't be rendered here", LIMIT).await;
    let expected = "the mail of schedule lost can't be rendered here: template nosuch: the template does not exist; \
                    the folder has good";
    assert!(line.contains(expected), "{line}");
    fixture.write(&schedule("lacks", "template = 'good'\neach = true"));
    beat.hang_up();
    let line = beat.wait_for_line("schedule lacks can't be", LIMIT).await;
    assert!(line.contains("template good: good/body.txt, line 1: Variable `name` is not defined"), "{line}");
    assert!(!beat.stderr().contains("schedule fine can't"), "{}", beat.stderr());
    beat.terminate();
    assert_eq!(beat.wait(LIMIT).await.code(), Some(0));
}

#[tokio::test]
async fn a_beat_is_listed_while_it_runs() {
    let fixture = Fixture::new().await;
    fixture.write("");
    let mut beat = fixture.process();
    let info =
        eventually(LIMIT, "a beat is alive", async || fixture.store.processes().await.expect("read").pop()).await;
    assert_eq!((info.kind, info.pid), (ProcessKind::Beat, beat.pid()));
    beat.terminate();
    assert_eq!(beat.wait(LIMIT).await.code(), Some(0));
    assert_eq!(fixture.store.processes().await.expect("read"), []);
}

#[tokio::test]
async fn invalid_settings_prevent_the_start() {
    let bad = |cron: &str, zone: &str| {
        let cron = format!("cron = '{cron}'\ntimezone = '{zone}'");
        EACH_SECOND.replace("every = '1s'", &cron)
    };
    let cases = [
        (
            bad("61 * * * *", "UTC"),
            "[[schedule]] tick: cron: \"61 * * * *\" is not a cron expression; it may be five fields",
        ),
        (bad("* * * * * *", "UTC"), "[[schedule]] tick: cron: \"* * * * * *\" is not a cron expression"),
        (bad("0 0 30 2 *", "UTC"), "[[schedule]] tick: cron: \"0 0 30 2 *\" never fires"),
        (bad("0 0 * * *", "Mars/Base"), "[[schedule]] tick: timezone: \"Mars/Base\""),
        (EACH_SECOND.replace("1s", "1"), "[[schedule]] tick: every"),
        ("nonsense = 1".to_owned(), "nonsense"),
    ];
    for (toml, words) in cases {
        let fixture = Fixture::new().await;
        fixture.write(&toml);
        let mut beat = fixture.process();
        assert_eq!(beat.wait(LIMIT).await.code(), Some(2), "{toml}");
        assert!(beat.stderr().starts_with("error: ") && beat.stderr().contains(words), "{}", beat.stderr());
        assert_eq!(beat.stderr().lines().count(), 1, "{}", beat.stderr());
    }
    let redis = PrivateRedis::start_tcp().await;
    redis.ask(&["CONFIG", "SET", "requirepass", "right"]);
    for user in ["", ":wrong@"] {
        let url = format!("redis://{user}{}", redis.addr());
        let mut beat = Process::spawn(target_bin("postroom-beat"), &[], &[("REDIS_URL", url.as_str())]);
        assert_eq!(beat.wait(LIMIT).await.code(), Some(2), "{}", beat.stderr());
        assert!(beat.stderr().contains("REDIS_URL"), "{}", beat.stderr());
    }
    let mut beat = Process::spawn(target_bin("postroom-beat"), &["--log-level", "loud"], &[]);
    assert_eq!(beat.wait(LIMIT).await.code(), Some(2));
    assert!(beat.stderr().contains("--log-level") && beat.stderr().contains("debug"), "{}", beat.stderr());
}

/// Calls within scripts are not counted: only clients call EVALSHA, and HSET and TIME belong to the
/// heartbeat here.
#[tokio::test]
async fn an_idle_beat_sends_few_commands() {
    let redis = PrivateRedis::start().await;
    let fixture = Fixture::on(&redis).await;
    let few: String =
        (0..6).map(|n| EACH_SECOND.replace("'tick'", &format!("'tick-{n}'")).replace("1s", "36500d")).collect();
    fixture.write(&few);
    let beat = fixture.process();
    beat.wait_for_line("schedule tick-5 is new", LIMIT).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = commands(&redis);
    tokio::time::sleep(Duration::from_secs(7)).await;
    let sent = commands(&redis) - before;
    assert!((1..14).contains(&sent), "{sent} commands in 7 s");
}

fn commands(redis: &PrivateRedis) -> u64 {
    let stats = redis.ask(&["INFO", "commandstats"]);
    let calls = |name: &str| -> u64 {
        let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{name}:calls=")));
        line.and_then(|rest| rest.split(',').next()).map_or(0, |number| number.parse().expect("a number"))
    };
    calls("evalsha") + 2 * calls("hset") + calls("eval") + calls("ping")
}
