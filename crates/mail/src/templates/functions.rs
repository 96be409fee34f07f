//! Functions that check the rendering limits, and filters whose output can be much larger than
//! their input.

#![expect(clippy::needless_pass_by_value, reason = "tera takes functions and filters of this shape only")]

use tera::{Kwargs, State, StringInput, Tera, TeraResult, Value};

use super::meter;

/// Function that counts a step: at each turn of a loop, and at the start of a file, block or
/// component. Its output is empty.
pub(super) const STEP: &str = "postroom_step";
/// Function that counts a step and returns true, for use in a condition.
pub(super) const STEP_CONDITION: &str = "postroom_go";
/// Filter for values stored in a variable.
pub(super) const STORE: &str = "postroom_keep";
/// Filter for values shown inside captured output.
pub(super) const SHOW: &str = "postroom_show";

/// Number of comparisons in a filter that count as one step.
const PIECES_A_STEP: usize = 1024;
/// Bytes that an element of a list takes.
const PIECE: usize = 64;

pub(super) fn register(tera: &mut Tera) {
    tera.register_function(STEP, |kwargs: Kwargs, _: &State<'_>| -> TeraResult<Value> {
        meter::step(kwargs.get::<usize>("n")?.unwrap_or(0))?;
        Ok(Value::safe_string(""))
    });
    tera.register_function(STEP_CONDITION, |_: Kwargs, _: &State<'_>| meter::step(0).map(|()| true));
    tera.register_filter(STORE, |value: Value, _: Kwargs, _: &State<'_>| meter::store(&value).map(|()| value));
    tera.register_filter(SHOW, |value: Value, _: Kwargs, _: &State<'_>| meter::store(&value).map(|()| value));
    tera.register_filter("replace", replace);
    tera.register_filter("join", join);
    tera.register_filter("indent", indent);
    tera.register_filter("split", split);
    tera.register_filter("unique", unique);
}

fn replace(text: StringInput<'_>, kwargs: Kwargs, state: &State<'_>) -> TeraResult<Value> {
    let from = kwargs.must_get::<&str>("from")?;
    let to = kwargs.must_get::<StringInput<'_>>("to")?;
    let is_safe = state.autoescaping_enabled() && (text.is_safe() || to.is_safe());
    if !is_safe {
        return replaced(text.as_str(), from, to.as_str()).map(Value::from);
    }
    let safe = replaced(&text.rendered(state)?, from, &to.rendered(state)?)?;
    Ok(Value::safe_string(&safe))
}

fn replaced(text: &str, from: &str, to: &str) -> TeraResult<String> {
    let growth = text.matches(from).count().saturating_mul(to.len());
    meter::make(text.len().saturating_add(growth))?;
    Ok(text.replace(from, to))
}

fn join(values: &[Value], kwargs: Kwargs, state: &State<'_>) -> TeraResult<Value> {
    let separator = kwargs.get::<StringInput<'_>>("sep")?;
    let is_safe = state.autoescaping_enabled()
        && (values.iter().any(|value| value.is_string() && value.is_safe())
            || separator.as_ref().is_some_and(StringInput::is_safe));
    let between = match &separator {
        Some(separator) if is_safe => separator.rendered(state)?,
        Some(separator) => separator.as_str().into(),
        None => "".into(),
    };
    let mut joined = String::new();
    for (number, value) in values.iter().enumerate() {
        if number > 0 {
            joined.push_str(&between);
        }
        match is_safe {
            true if value.is_undefined() => {}
            true => joined.push_str(&state.escape_if_needed(value)?),
            false => joined.push_str(&value.to_string()),
        }
        meter::make(joined.len())?;
    }
    Ok(if is_safe { Value::safe_string(&joined) } else { Value::from(joined) })
}

/// tera's own filter, which bounds `width` but not the number of lines.
fn indent(text: StringInput<'_>, kwargs: Kwargs, state: &State<'_>) -> TeraResult<Value> {
    let width = kwargs.get::<usize>("width")?.unwrap_or(4).min(1000);
    let unit = kwargs.get::<StringInput<'_>>("indentation")?;
    let first = kwargs.get::<bool>("first")?.unwrap_or(false);
    let blank = kwargs.get::<bool>("blank")?.unwrap_or(false);
    if unit.as_ref().is_some_and(|unit| unit.as_str().chars().count() != 1) {
        return Err(tera::Error::message("The `indentation` argument must contain exactly one character"));
    }
    let is_safe = state.autoescaping_enabled() && (text.is_safe() || unit.as_ref().is_some_and(StringInput::is_safe));
    let source = if is_safe { text.rendered(state)? } else { text.as_str().into() };
    let unit = match &unit {
        Some(unit) if is_safe => unit.rendered(state)?,
        Some(unit) => unit.as_str().into(),
        None => " ".into(),
    };
    let unit = unit.repeat(width);
    meter::make(source.len().saturating_add((source.lines().count() + 1).saturating_mul(unit.len())))?;
    let mut indented = String::with_capacity(source.len() * 2);
    for (number, line) in source.lines().enumerate() {
        if number > 0 {
            indented.push('\n');
        }
        if if number == 0 { first } else { blank || !line.is_empty() } {
            indented.push_str(&unit);
        }
        indented.push_str(line);
    }
    if source.ends_with('\n') {
        indented.push('\n');
    }
    Ok(if is_safe { Value::safe_string(&indented) } else { Value::from(indented) })
}

fn split(text: &str, kwargs: Kwargs, _: &State<'_>) -> TeraResult<Value> {
    let pattern = kwargs.must_get::<&str>("pat")?;
    meter::make(text.len().saturating_add(text.matches(pattern).count().saturating_mul(PIECE)))?;
    Ok(text.split(pattern).map(Value::from).collect::<Vec<_>>().into())
}

/// Compares each value with all previous ones; every [`PIECES_A_STEP`] comparisons count as a step.
fn unique(values: &[Value], _: Kwargs, _: &State<'_>) -> TeraResult<Vec<Value>> {
    let mut unique: Vec<Value> = Vec::new();
    for value in values {
        let mut is_duplicate = false;
        for previous in unique.chunks(PIECES_A_STEP) {
            meter::step(0)?;
            is_duplicate = is_duplicate || previous.contains(value);
        }
        if !is_duplicate {
            unique.push(value.clone());
        }
    }
    Ok(unique)
}
