-- Contents: bytes of files and of large bodies, kept once under their hash with the number of jobs that may still need them. Beside that number each has a
-- time by which all of these are over, whatever becomes of the number: one that is wrong keeps nothing for ever.
local DAY_MS = 86400000
-- Nobody needs it any more, but the next mail may.
local SPARE_MS = 600000

local function content_key(hash) return key('a:' .. hash) end

local function content_lives(hash, ms)
  if redis.call('PTTL', content_key(hash)) < ms then redis.call('PEXPIRE', content_key(hash), int(ms)) end
end

-- A job needs these until it is over, at `over_ms` at the latest.
local function refer(files, over_ms)
  for hash in string.gmatch(files, '%x+') do
    -- Also of one whose bytes Redis has lost: whoever put it in brings them again.
    redis.call('HINCRBY', content_key(hash), 'jobs', 1)
    content_lives(hash, over_ms - now + DAY_MS)
  end
end

-- One that is in doubt waits for a person.
local function refer_longer(files)
  for hash in string.gmatch(files, '%x+') do content_lives(hash, 366 * DAY_MS) end
end

-- A job is over. One that may be sent again all the same keeps its files as long as itself.
local function release(files, spare_ms)
  for hash in string.gmatch(files, '%x+') do
    local facts = redis.call('HMGET', content_key(hash), 'jobs', 'spare_until_ms')
    if facts[1] then
      local spare = math.max(tonumber(facts[2]) or 0, now + math.max(spare_ms, SPARE_MS))
      redis.call('HSET', content_key(hash), 'spare_until_ms', int(spare))
      if redis.call('HINCRBY', content_key(hash), 'jobs', -1) <= 0 then
        redis.call('PEXPIREAT', content_key(hash), int(spare))
      end
    end
  end
end
