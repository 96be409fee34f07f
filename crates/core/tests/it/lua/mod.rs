//! The Lua sources, read as a producer in another language reads them.

mod keys;

use std::path::{Path, PathBuf};

use postroom_testkit::PrivateRedis;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lua")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Reads Lua text without the groups that calls name, as the protocol describes.
fn read_lua(path: &Path) -> String {
    ["general.", "rare.", "damage."].iter().fold(read(path), |text, group| text.replace(group, ""))
}

/// Returns the text of one script, without its parts.
pub(crate) fn source(script: &str) -> String {
    read_lua(&folder().join(format!("{script}.lua")))
}

/// Returns the names of all scripts.
pub(crate) fn scripts() -> Vec<String> {
    let entries = std::fs::read_dir(folder()).expect("the folder of scripts");
    let name = |path: PathBuf| Some(path.file_name()?.to_str()?.strip_suffix(".lua")?.to_owned());
    entries.filter_map(|entry| name(entry.expect("an entry").path())).collect()
}

/// Returns the text of the parts that a script includes, in order.
pub(crate) fn parts(source: &str) -> Vec<String> {
    let line = source.lines().find_map(|line| line.strip_prefix("-- Includes: ")).unwrap_or_default();
    line.split_whitespace()
        .flat_map(part_files)
        .map(|name| read_lua(&folder().join(format!("parts/{name}.lua"))))
        .collect()
}

/// Returns the files of a part; the protocol lists those of `job`.
fn part_files(part: &str) -> Vec<String> {
    if part != "job" {
        return vec![part.to_owned()];
    }
    let protocol = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"));
    let (_, rest) = protocol.split_once("(`job` is ").expect("the files of `job`");
    let (list, _) = rest.split_once('.').expect("the end of the list");
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Returns the whole text of a script. Parts and script are in functions of their own, since Lua
/// allows 200 local variables in one.
pub(crate) fn whole(script: &str) -> String {
    let source = source(script);
    let parts = parts(&source);
    let (prelude, others) = parts.split_first().expect("the prelude");
    let inner = format!("{}return (function()\n{source}end)()\n", others.concat());
    format!("local allocates = false\n{prelude}return (function()\n{inner}end)()\n")
}

#[test]
fn scripts_for_producers_load_as_the_protocol_describes() {
    for script in ["enqueue", "content_keep", "jobs", "batch_create", "batch_seal", "reserve"] {
        let source = source(script);
        let text = format!("local allocates = true\n{}{source}", parts(&source).concat());
        let reply = PrivateRedis::shared().ask(&["SCRIPT", "LOAD", &text]);
        assert_eq!(reply.len(), 40, "{script}: {reply}");
    }
}
