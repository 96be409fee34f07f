//! `postroom worker`, `beat` and `monitor`: the programs beside this one.

use std::{env, ffi::OsString, os::unix::process::CommandExt, path::PathBuf, process::Command};

use super::exit::{Failure, Result};

/// All that follows is for the other program.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    pub(crate) args: Vec<OsString>,
}

const PROGRAMS: [(&str, &str); 3] =
    [("worker", "postroom-worker"), ("beat", "postroom-beat"), ("monitor", "postroom-monitor")];

/// The program and its arguments, if the command line begins with one of the three.
pub(crate) fn asked_for(words: &[OsString]) -> Option<(&'static str, &[OsString])> {
    let (name, args) = words.get(1..)?.split_first()?;
    PROGRAMS.iter().find(|(command, _)| name == command).map(|(_, program)| (*program, args))
}

/// Becomes the other program; returns only when that can't be.
pub(crate) fn run(program: &str, args: &[OsString]) -> Result<()> {
    let error = Command::new(find(program)).args(args).exec();
    Err(Failure::failed(format!("{program} can't be started: {error}; it belongs beside postroom or on the PATH")))
}

/// Beside this program, where an installation and a build put them; else wherever PATH says.
fn find(program: &str) -> PathBuf {
    let beside = env::current_exe().ok().map(|own| own.with_file_name(program));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| program.into())
}
