//! Claims mail from Redis, delivers it and settles what became of it
