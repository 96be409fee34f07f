//! Server process: lookup of the program, start, and a minimal RESP client.

use super::builder::LaunchOptions;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const START_LIMIT: Duration = Duration::from_secs(30);
const REPLY_LIMIT: Duration = Duration::from_secs(5);
pub(super) const LOG: &str = "redis.log";

/// Address of a private Redis.
#[derive(Clone, Debug)]
pub(super) enum RedisAddress {
    Socket(PathBuf),
    Port(u16),
}

impl RedisAddress {
    pub(super) fn url(&self) -> String {
        match self {
            Self::Socket(path) => format!("redis+unix://{}", path.display()),
            Self::Port(port) => format!("redis://127.0.0.1:{port}"),
        }
    }

    pub(super) fn socket_addr(&self) -> SocketAddr {
        match self {
            Self::Socket(path) => panic!("{} is a unix socket; start this Redis with tcp()", path.display()),
            Self::Port(port) => (Ipv4Addr::LOCALHOST, *port).into(),
        }
    }

    fn arguments(&self) -> Vec<String> {
        let arguments: &[&str] = match self {
            Self::Socket(path) => &["--port", "0", "--unixsocket", &path.display().to_string()],
            Self::Port(port) => &["--bind", "127.0.0.1", "--port", &port.to_string()],
        };
        arguments.iter().map(ToString::to_string).collect()
    }
}

/// Returns `POSTROOM_TEST_REDIS`, or else `redis-server` or `valkey-server` from the path.
fn program() -> PathBuf {
    if let Some(chosen) = std::env::var_os("POSTROOM_TEST_REDIS") {
        return chosen.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates = ["redis-server", "valkey-server"]
        .into_iter()
        .flat_map(|name| std::env::split_paths(&path).map(move |folder| folder.join(name)));
    candidates.find(|program| program.is_file()).unwrap_or_else(|| {
        panic!(
            "no Redis or Valkey server found: run scripts/test, which installs one, or install one \
             (apt-get install redis-server, brew install redis), or set POSTROOM_TEST_REDIS to its path"
        )
    })
}

/// Returns the command of the server in `folder`, without any output.
pub(super) fn command(folder: &Path) -> Command {
    let mut command = Command::new(program());
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Returns the command with the recommended configuration and the options of the test.
pub(super) fn configured(address: &RedisAddress, folder: &Path, options: &LaunchOptions) -> Command {
    let mut command = command(folder);
    command
        .args(address.arguments())
        .args(["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""])
        .args(["--maxmemory-policy", "noeviction", "--repl-diskless-sync-delay", "0", "--logfile", LOG])
        .arg("--dir")
        .arg(folder)
        .args(&options.args)
        .envs(options.envs.iter().map(|(name, value)| (name, value)));
    command
}

/// Starts a server and waits until it is ready.
///
/// # Errors
///
/// The server's log if the server ends or is not ready within 30 s.
pub(super) fn start(mut command: Command, address: &RedisAddress, folder: &Path) -> Result<Child, String> {
    let mut child = command.spawn().unwrap_or_else(|error| panic!("can't run {command:?}: {error}"));
    if becomes_ready(&mut child, address) {
        return Ok(child);
    }
    let _ = child.kill();
    let _ = child.wait();
    Err(std::fs::read_to_string(folder.join(LOG)).unwrap_or_default())
}

/// Creates the folder of a server.
pub(super) fn folder() -> TempDir {
    tempfile::Builder::new().prefix("postroom-redis-").tempdir().expect("a temporary folder can be made")
}

fn becomes_ready(child: &mut Child, address: &RedisAddress) -> bool {
    let end = Instant::now() + START_LIMIT;
    while Instant::now() < end {
        if !matches!(child.try_wait(), Ok(None)) {
            return false;
        }
        if is_ready(address, child.id()) {
            return true;
        }
        sleep(Duration::from_millis(2));
    }
    false
}

/// Whether the server with this process id has loaded its data, or synchronised with its primary.
///
/// The process id is compared because another Redis may have taken the port.
fn is_ready(address: &RedisAddress, pid: u32) -> bool {
    let Ok(info) = ask(address, &["INFO"]) else { return false };
    let has = |wanted: &str| info.lines().any(|line| line == wanted);
    has(&format!("process_id:{pid}")) && !has("loading:1") && !has("master_link_status:down")
}

/// Sends one command. The reply has the format of
/// [`PrivateRedis::ask`](super::PrivateRedis::ask).
pub(super) fn ask(address: &RedisAddress, command: &[&str]) -> io::Result<String> {
    match address {
        RedisAddress::Socket(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(REPLY_LIMIT))?;
            exchange(stream, command)
        }
        RedisAddress::Port(port) => {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, *port))?;
            stream.set_read_timeout(Some(REPLY_LIMIT))?;
            exchange(stream, command)
        }
    }
}

fn exchange(mut stream: impl Read + Write, command: &[&str]) -> io::Result<String> {
    let mut request = format!("*{}\r\n", command.len());
    for word in command {
        request += &format!("${}\r\n{word}\r\n", word.len());
    }
    stream.write_all(request.as_bytes())?;
    read_reply(&mut BufReader::new(stream))
}

fn read_reply(input: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    let line = line.trim_end();
    match (line.get(..1), line.get(1..).and_then(|rest| rest.parse::<i64>().ok())) {
        (Some("$"), Some(length)) => read_bulk(input, length),
        (Some("*"), Some(count)) => {
            let elements: io::Result<Vec<_>> = (0..count).map(|_| read_reply(input)).collect();
            elements.map(|elements| elements.join("\n"))
        }
        (Some("+" | ":"), _) => Ok(line[1..].to_owned()),
        (Some("-"), _) => Ok(line.to_owned()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn read_bulk(input: &mut impl BufRead, length: i64) -> io::Result<String> {
    let Ok(length) = usize::try_from(length) else { return Ok(String::new()) };
    let mut bytes = vec![0; length + 2];
    input.read_exact(&mut bytes)?;
    bytes.truncate(length);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
