-- Stores the bytes of files and large bodies under their hash, before jobs that name them are
-- enqueued. Until the first such job they are kept for some minutes only.
--
-- Keys:    `a:<hash>`
-- ARGV:    version, then for each: hash (SHA-256 of the bytes in hex), bytes
-- Replies: kept <number that were not known>
-- States:  none
-- Includes: prelude job
local new = 0
for at = 2, #ARGV, 2 do
  new = new + redis.call('HSETNX', content_key(ARGV[at]), 'content', ARGV[at + 1])
  extend_content(ARGV[at], GRACE_MS)
end
return { 'kept', new }
