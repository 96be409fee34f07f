-- Keeps the bytes of files and of large bodies, so that jobs can be put in that name them by their hash. Until the first of these is,
-- for some minutes only.
--
-- Keys:    content `a:<hash>`
-- ARGV:    version, then for each: hash (SHA-256 of the bytes in hex), bytes
-- Replies: kept <number that were not known>
-- States:  none
-- Includes: prelude job
local new = 0
for at = 2, #ARGV, 2 do
  new = new + redis.call('HSETNX', content_key(ARGV[at]), 'content', ARGV[at + 1])
  content_lives(ARGV[at], SPARE_MS)
end
return { 'kept', new }
