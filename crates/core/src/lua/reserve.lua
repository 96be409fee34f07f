-- Reserves an idempotency key. KEYS[1] is the key's own base key, in a slot of its own.
--
-- Keys:    none of a queue
-- ARGV:    version, id, fingerprint of the content, window_ms
-- Replies: reserved <id> | known <id> | conflict <id>
-- States:  none
local facts = redis.call('HMGET', KEYS[1], 'id', 'fingerprint')
if not facts[1] then
  redis.call('HSET', KEYS[1], 'id', ARGV[2], 'fingerprint', ARGV[3])
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
  return { 'reserved', ARGV[2] }
end
return { facts[2] == ARGV[3] and 'known' or 'conflict', facts[1] }
