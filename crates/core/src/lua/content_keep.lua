-- Keeps the bytes of a file, so that jobs can be put in that name it by its hash. Until the first of them is, for some minutes only.
--
-- Keys:    content `a:<hash>`
-- ARGV:    version, hash (SHA-256 of the bytes in hex), bytes
-- Replies: kept | known
-- States:  none
-- Includes: prelude job
if redis.call('HSETNX', content_key(ARGV[2]), 'content', ARGV[3]) == 0 then
  content_lives(ARGV[2], SPARE_MS)
  return 'known'
end
content_lives(ARGV[2], SPARE_MS)
return 'kept'
