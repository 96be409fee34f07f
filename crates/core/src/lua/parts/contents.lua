-- Contents: files and large bodies, stored once under their hash with the number of jobs that may
-- still need them. Each also has an expiry after which every such job has finished. A wrong number
-- therefore never keeps a content forever.
local DAY_MS = 86400000
-- How long an unused content is kept, in case the next mail needs it.
local GRACE_MS = 600000

local function content_key(hash) return key('a:' .. hash) end

local function extend_content(hash, ms)
  if redis.call('PTTL', content_key(hash)) < ms then redis.call('PEXPIRE', content_key(hash), int(ms)) end
end

-- Counts a job that needs these contents until it finishes, at `over_ms` at the latest.
local function add_references(files, over_ms)
  for hash in string.gmatch(files, '%x+') do
    -- This also counts a content that Redis has lost: the producer uploads it again.
    redis.call('HINCRBY', content_key(hash), 'jobs', 1)
    extend_content(hash, over_ms - now + DAY_MS)
  end
end

-- Keeps the contents of a job in doubt, which waits for a person.
local function extend_references(files)
  for hash in string.gmatch(files, '%x+') do extend_content(hash, 366 * DAY_MS) end
end

-- Releases the contents of a finished job. A job that can be sent again keeps them for its own
-- retention.
local function release_references(files, spare_ms)
  for hash in string.gmatch(files, '%x+') do
    local facts = redis.call('HMGET', content_key(hash), 'jobs', 'spare_until_ms')
    if facts[1] then
      local spare = math.max(tonumber(facts[2]) or 0, now + math.max(spare_ms, GRACE_MS))
      redis.call('HSET', content_key(hash), 'spare_until_ms', int(spare))
      if redis.call('HINCRBY', content_key(hash), 'jobs', -1) <= 0 then
        redis.call('PEXPIREAT', content_key(hash), int(spare))
      end
    end
  end
end
