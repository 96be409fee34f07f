//! Runs scripts.

use redis::{Cmd, ErrorKind, FromRedisValue, RedisResult, ServerErrorKind, aio::MultiplexedConnection};

use super::{args::Args, assembly, sources::Script};
use crate::{QueueName, Result, store::connection::Store};

/// Protocol version of this process; see `crates/core/README.md`.
pub const PROTOCOL_VERSION: u32 = 1;

impl Store {
    /// Runs a script on a queue.
    pub(in crate::store) async fn call<T: FromRedisValue>(
        &self,
        script: Script,
        queue: &QueueName,
        args: Args,
    ) -> Result<T> {
        self.call_at(script, self.keys.queue(queue), args).await
    }

    /// Runs a script on any base key.
    pub(in crate::store) async fn call_at<T: FromRedisValue>(
        &self,
        script: Script,
        base: String,
        args: Args,
    ) -> Result<T> {
        self.invoke(script, base, &args).await
    }

    /// Runs a script with borrowed arguments, which allows a retry. A script missing on the server
    /// is loaded first.
    pub(in crate::store) async fn invoke<T: FromRedisValue>(
        &self,
        script: Script,
        base: String,
        args: &Args,
    ) -> Result<T> {
        let compiled = assembly::compiled(script);
        let mut call = Cmd::with_capacity(args.len() + 5, args.text_len() + base.len() + 64);
        call.arg("EVALSHA").arg(compiled.get_hash()).arg(1).arg(&base).arg(PROTOCOL_VERSION);
        for arg in args.iter() {
            call.arg(arg);
        }
        let describe = || format!("the script {} on {base}", script.name());
        self.send(|handle| evaluate(&call, compiled, handle), describe).await
    }
}

async fn evaluate<T: FromRedisValue>(
    call: &Cmd,
    script: &redis::Script,
    mut handle: MultiplexedConnection,
) -> RedisResult<T> {
    match call.query_async(&mut handle).await {
        Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
            script.prepare_invoke().load_async(&mut handle).await?;
            call.query_async(&mut handle).await
        }
        answer => answer,
    }
}
