//! `postroom worker`, `beat` and `monitor`: run another program of the same installation.

use std::{env, ffi::OsString, os::unix::process::CommandExt, path::PathBuf, process::Command};

use crate::exit::{CommandError, Result};

/// Arguments for the other program.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Arguments of the program
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    pub(crate) args: Vec<OsString>,
}

const PROGRAMS: [(&str, &str); 3] =
    [("worker", "postroom-worker"), ("beat", "postroom-beat"), ("monitor", "postroom-monitor")];

/// Returns the program and its arguments if the command line begins with one of the three commands.
pub(crate) fn requested(args: &[OsString]) -> Option<(&'static str, &[OsString])> {
    let (name, args) = args.get(1..)?.split_first()?;
    PROGRAMS.iter().find(|(command, _)| name == command).map(|(_, program)| (*program, args))
}

/// Replaces this process by the other program; returns only if that fails.
pub(crate) fn run(program: &str, args: &[OsString]) -> Result<()> {
    let error = Command::new(find(program)).args(args).exec();
    Err(CommandError::failed(format!(
        "can't start {program}: {error}; install it beside postroom or in a directory of PATH"
    )))
}

/// Returns the path of the program beside this one, or else its name, to be found on PATH.
fn find(program: &str) -> PathBuf {
    let beside = env::current_exe().ok().map(|own| own.with_file_name(program));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| program.into())
}
