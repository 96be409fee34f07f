use proptest::prelude::*;

use super::*;

fn cron(expression: &str, zone: &str) -> Result<Timetable, InvalidInput> {
    let timezone = zone.parse().expect("a zone");
    Timetable::of(&Timing::Cron { expression: expression.to_owned(), timezone })
}

fn every(seconds: u64) -> Timetable {
    Timetable::of(&Timing::Every(Duration::from_secs(seconds))).expect("an interval")
}

fn ms(text: &str) -> i64 {
    DateTime::parse_from_rfc3339(text).expect("a time").timestamp_millis()
}

fn text(ms: i64, zone: &str) -> String {
    let zone: Tz = zone.parse().expect("a zone");
    let at = DateTime::<Utc>::from_timestamp_millis(ms).expect("a time").with_timezone(&zone);
    at.format("%Y-%m-%dT%H:%M%:z").to_string()
}

/// Checks the first firing times of an expression after a time.
fn check(expression: &str, zone: &str, after: &str, expected: &[&str]) {
    let table = cron(expression, zone).unwrap_or_else(|error| panic!("{error}"));
    let times: Vec<String> = table.after(ms(after)).take(expected.len()).map(|at| text(at, zone)).collect();
    assert_eq!(times, expected, "{expression} in {zone} after {after}");
}

#[test]
fn expressions_fire_on_ordinary_days() {
    check("*/5 * * * *", "UTC", "2026-01-01T00:02:30Z", &["2026-01-01T00:05+00:00", "2026-01-01T00:10+00:00"]);
    // The search is exclusive: only a later time is found.
    check("*/5 * * * *", "UTC", "2026-01-01T00:05:00Z", &["2026-01-01T00:10+00:00"]);
    check("*/5 * * * *", "UTC", "2026-01-01T00:04:59.999Z", &["2026-01-01T00:05+00:00"]);
    check("*/5 * * * *", "UTC", "2026-01-01T00:05:00.001Z", &["2026-01-01T00:10+00:00"]);
    // 1-5 means Monday to Friday; this spans a weekend.
    let week = ["2026-01-02T08:00+01:00", "2026-01-05T08:00+01:00", "2026-01-06T08:00+01:00"];
    check("0 8 * * 1-5", "Europe/Warsaw", "2026-01-02T00:00:00Z", &week);
    check("0 8 * * MON-FRI", "Europe/Warsaw", "2026-01-02T00:00:00Z", &week);
    check("@daily", "Europe/Warsaw", "2026-01-02T00:00:00Z", &["2026-01-03T00:00+01:00"]);
    check("@hourly", "UTC", "2026-01-02T00:00:00Z", &["2026-01-02T01:00+00:00"]);
    check("@weekly", "UTC", "2026-01-02T00:00:00Z", &["2026-01-04T00:00+00:00"]);
    // With both kinds of days, either is enough. Sunday is 0 and 7.
    check("0 0 13 * 5", "UTC", "2026-01-03T00:00:00Z", &["2026-01-09T00:00+00:00", "2026-01-13T00:00+00:00"]);
    check("0 0 * * 7", "UTC", "2026-01-02T00:00:00Z", &["2026-01-04T00:00+00:00"]);
}

#[test]
fn leap_days_and_month_ends_are_found() {
    check("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", &["2028-02-29T00:00+00:00", "2032-02-29T00:00+00:00"]);
    check("0 0 31 * *", "UTC", "2026-01-31T12:00:00Z", &["2026-03-31T00:00+00:00", "2026-05-31T00:00+00:00"]);
    check("59 23 28 2 *", "UTC", "2028-01-01T00:00:00Z", &["2028-02-28T23:59+00:00", "2029-02-28T23:59+00:00"]);
}

/// 2026-03-29 02:00 becomes 03:00 in Warsaw, 2026-03-08 02:00 becomes 03:00 in New York.
#[test]
fn a_skipped_hour_fires_right_after_the_gap() {
    let (warsaw, new_york) = ("Europe/Warsaw", "America/New_York");
    // A fixed time of day fires once, right after the gap.
    let days = ["2026-03-28T02:30+01:00", "2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"];
    check("30 2 * * *", warsaw, "2026-03-28T00:00:00Z", &days);
    let days = ["2026-03-07T02:30-05:00", "2026-03-08T03:00-04:00", "2026-03-09T02:30-04:00"];
    check("30 2 * * *", new_york, "2026-03-07T06:00:00Z", &days);
    // An expression that follows the wall clock continues.
    check(
        "*/30 * * * *",
        warsaw,
        "2026-03-29T00:15:00Z",
        &["2026-03-29T01:30+01:00", "2026-03-29T03:00+02:00", "2026-03-29T03:30+02:00"],
    );
    check("0 * * * *", new_york, "2026-03-08T06:30:00Z", &["2026-03-08T03:00-04:00", "2026-03-08T04:00-04:00"]);
    check("0 8 * * *", warsaw, "2026-03-28T12:00:00Z", &["2026-03-29T08:00+02:00"]);
}

/// 2026-10-25 03:00 becomes 02:00 in Warsaw, 2026-11-01 02:00 becomes 01:00 in New York.
#[test]
fn a_repeated_hour_fires_once() {
    let (warsaw, new_york) = ("Europe/Warsaw", "America/New_York");
    // A fixed time of day fires the first time only.
    let days = ["2026-10-24T02:30+02:00", "2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"];
    check("30 2 * * *", warsaw, "2026-10-24T00:00:00Z", &days);
    let days = ["2026-10-31T01:30-04:00", "2026-11-01T01:30-04:00", "2026-11-02T01:30-05:00"];
    check("30 1 * * *", new_york, "2026-10-31T05:00:00Z", &days);
    // Between the two occurrences, the day's firing is past.
    check("30 2 * * *", warsaw, "2026-10-25T00:45:00Z", &["2026-10-26T02:30+01:00"]);
    check(
        "*/30 * * * *",
        warsaw,
        "2026-10-25T00:15:00Z",
        &["2026-10-25T02:30+02:00", "2026-10-25T02:00+01:00", "2026-10-25T02:30+01:00", "2026-10-25T03:00+01:00"],
    );
    check("0 8 * * *", warsaw, "2026-10-24T12:00:00Z", &["2026-10-25T08:00+01:00"]);
}

#[test]
fn invalid_expressions_and_those_that_never_fire_are_refused() {
    let bad = [
        "",
        "x",
        "* * * *",
        "* * * * * *",
        "0 0 0 1 1 * 2026",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "*/0 * * * *",
        "5-1 * * * *",
        "@reboot",
        "@daily 5",
        "* * * * MUN",
        "-1 * * * *",
    ];
    for bad in bad {
        let error = cron(bad, "UTC").expect_err(bad).to_string();
        assert!(error.starts_with(&format!("cron: {bad:?} is not a cron expression; it may be")), "{error}");
    }
    for bad in ["0 0 30 2 *", "0 0 31 4,6,9,11 *"] {
        let error = cron(bad, "Europe/Warsaw").expect_err(bad).to_string();
        assert!(error.contains("never fires"), "{error}");
    }
}

#[test]
fn intervals_are_aligned() {
    let times = |table: &Timetable, after| table.after(after).take(2).collect::<Vec<_>>();
    assert_eq!(times(&every(1), 5_400), [6_000, 7_000]);
    assert_eq!(
        times(&every(900), ms("2026-01-01T10:03:00Z")),
        ["10:15", "10:30"].map(|at| ms(&format!("2026-01-01T{at}:00Z")))
    );
    assert_eq!((every(1).latest(5_999), every(1).latest(6_000)), (Some(5_000), Some(6_000)));
    assert_eq!(every(60).next(i64::MAX), None);
}

const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn a_short_delay_loses_nothing_and_a_gap_fires_once_or_is_skipped() {
    let (run, brief, skip) = (Missed::Run { grace: HOUR }, Missed::Run { grace: Duration::from_secs(3) }, Missed::Skip);
    let plan =
        |fire_ms: &[i64], cursor_ms, next_ms| Plan { fire_ms: fire_ms.to_vec(), cursor_ms, next_ms: Some(next_ms) };
    let second = 1_000;
    for missed in [run, skip] {
        // In order: too early, on time, three times late, exactly at the tolerance.
        assert_eq!(every(1).plan(missed, 5_000, 5_900), plan(&[], 5_000, 6_000));
        assert_eq!(every(1).plan(missed, 5_000, 6_000), plan(&[6_000], 6_000, 7_000));
        assert_eq!(every(1).plan(missed, 5_000, 8_500), plan(&[6_000, 7_000, 8_000], 8_000, 9_000));
        assert_eq!(every(600).plan(missed, 0, 660 * second), plan(&[600 * second], 600 * second, 1_200 * second));
        // After a whole day, only the last minute fires.
        let day = every(1).plan(missed, 0, 86_400 * second);
        assert_eq!((day.fire_ms.len(), day.fire_ms[0], day.cursor_ms), (61, 86_340 * second, 86_400 * second));
    }
    // Beyond the tolerance, the latest time fires or is skipped.
    assert_eq!(every(600).plan(run, 0, 1_261 * second), plan(&[1_200 * second], 1_200 * second, 1_800 * second));
    assert_eq!(every(600).plan(skip, 0, 1_261 * second), plan(&[], 1_200 * second, 1_800 * second));
    // At and beyond the grace period.
    assert_eq!(every(36_000).plan(run, 0, 39_600 * second), plan(&[36_000 * second], 36_000 * second, 72_000 * second));
    assert_eq!(every(36_000).plan(run, 0, 39_601 * second), plan(&[], 36_000 * second, 72_000 * second));
    // A grace period shorter than the tolerance replaces it.
    assert_eq!(every(1).plan(brief, 0, 10_500), plan(&[8_000, 9_000, 10_000], 10_000, 11_000));
    assert_eq!(every(60).plan(brief, 0, 64_000), plan(&[], 60_000, 120_000));
    // The clock was set back: nothing fires twice.
    assert_eq!(every(1).plan(run, 9_000, 5_000), plan(&[], 9_000, 10_000));
}

#[test]
fn a_missed_morning_fires_within_its_grace_period() {
    let table = cron("0 8 * * *", "Europe/Warsaw").expect("an expression");
    let run = Missed::Run { grace: HOUR };
    let (yesterday, today) = (ms("2026-03-28T07:00:00Z"), ms("2026-03-29T06:00:00Z"));
    assert_eq!(table.plan(run, yesterday, today - 1).fire_ms, Vec::<i64>::new());
    assert_eq!(table.plan(run, yesterday, today + 1_800_000).fire_ms, [today]);
    assert_eq!(table.plan(Missed::Skip, yesterday, today + 1_800_000).fire_ms, Vec::<i64>::new());
    assert_eq!(table.plan(run, today, today + 1_800_000).fire_ms, Vec::<i64>::new());
}

fn expressions() -> impl Strategy<Value = String> {
    let minute = prop_oneof![Just("*".to_owned()), Just("*/7".to_owned()), (0..60_i64).prop_map(|m| m.to_string())];
    let hour = prop_oneof![Just("*".to_owned()), Just("1-3".to_owned()), (0..24_i64).prop_map(|h| h.to_string())];
    let days = prop::sample::select(vec!["* * *", "* * 0", "29 * *", "1,8,25 3,10,11 *"]);
    (minute, hour, days).prop_map(|(minute, hour, days)| format!("{minute} {hour} {days}"))
}

/// Days around changes of daylight saving time, and an ordinary one.
const DAYS: [&str; 6] = ["2026-03-29", "2026-10-25", "2026-03-08", "2026-11-01", "2026-04-05", "2026-06-15"];

proptest! {
    /// Checks that `latest` agrees with `after`, including around changes of daylight saving time.
    #[test]
    fn latest_agrees_with_after(
        expression in expressions(),
        zone in prop::sample::select(vec!["Europe/Warsaw", "America/New_York", "Australia/Lord_Howe", "UTC"]),
        day in prop::sample::select(DAYS.to_vec()),
        minutes in -600_i64..1_800,
        span in 1_i64..3_000,
    ) {
        let table = cron(&expression, zone).expect("an expression");
        let until = ms(&format!("{day}T00:00:00Z")) + minutes * 60_000 + 30_000;
        let from = until - span * 60_000;
        let ahead = table.after(from).take_while(|at| *at <= until).last();
        let back = table.latest(until).filter(|at| *at > from);
        let shown = |at: Option<i64>| at.map(|at| text(at, zone));
        prop_assert_eq!(ahead, back, "{} in {}: {:?} {:?}", expression, zone, shown(ahead), shown(back));
    }

    /// Checks that each time is decided once at any interval of calls, and none is missed within
    /// the tolerance.
    #[test]
    fn every_time_fires_once(steps in prop::collection::vec(0_i64..59_000, 1..40)) {
        let table = every(7);
        let (mut cursor, mut now, mut fired) = (0, 0, Vec::new());
        for step in steps {
            now += step;
            let plan = table.plan(Missed::Skip, cursor, now);
            cursor = plan.cursor_ms;
            fired.extend(plan.fire_ms);
        }
        let expected: Vec<i64> = (1..=now / 7_000).map(|n| n * 7_000).collect();
        prop_assert_eq!(fired, expected);
    }
}
