-- What is kept of a sent job: one string in place of payload and hash, since most of what Redis holds has been sent.
--   version sent <finished_ms> <fence>.<attempt>.<tries> <its worker's last four characters> <message_id> <terms>
--   <the mail, as it was>
--   <receipt, or nothing>
--   <story: the lines of `attempts`, each with the ms from its time to finished_ms in place of its time; shortly where it can be>
-- `message_id` that begins with @ is the job's id at that domain. Terms: a row's `@<ref> <ms>`, or `<priority> <ms from its enqueueing to finished_ms> <attempts>`
-- and, where there is more to tell, `d<due_ms>`, `e<expires_ms>`, `b<batch>`, `s` (sensitive).
-- Those of one hour stand in the list `sent:<hour since 1970>`, in order; the zset `sent` tells for each hour when all of it may go.
local KEPT = '^(%d+) sent (%d+) (%d+)%.(%d+)%.(%d+) (%S+) (%S+) ([^\n]+)\n'
local HOUR_MS = 3600000
local FOLDED_BYTES = 16384

local function is_kept(payload) return payload and string.find(payload, '^%d+ sent ') ~= nil end

local function short_id(id) return string.sub(id, -26) end

-- The terms of what is kept, as a header in full: the promises that are over are told as nothing.
local function kept_header(terms, finished)
  local ref, since = string.match(terms, '^@(%S+) (%d+)')
  if ref then
    local known = terms_at(ref)
    return known and full_header(known, known.start + tonumber(since))
  end
  local priority, ago, attempts, more = string.match(terms .. ' ', '^(%d) (%-?%d+) (%d+) (.*)$')
  if not priority then return nil end
  local enqueued = int(finished - ago)
  local due, expires = string.match(more, 'd(%d+) ') or enqueued, string.match(more, 'e(%d+) ') or '0'
  local batch, flags = string.match(more, 'b(%S+) ') or '-', string.match(' ' .. more, ' s ') and 'sensitive' or '-'
  return table.concat({ VERSION, priority, enqueued, due, expires, '0', attempts, '0 hold 1 0 0', batch, flags }, ' ')
end

-- Its first line, taken apart; nil when it can't be.
local function parse_kept(id, payload)
  local version, finished, fence, attempt, tries, worker, message_id, terms = string.match(payload, KEPT)
  local header = version and tonumber(version) <= VERSION and kept_header(terms, finished)
  if not header then return nil end
  if string.sub(message_id, 1, 1) == '@' then message_id = id .. message_id end
  return header, {
    state = 'sent', reason = '', finished_ms = finished, fence = fence, settled = fence, attempt = attempt, tries = tries,
    worker = worker ~= '-' and worker or nil,
    message_id = message_id ~= '-' and message_id or '',
  }
end

local function counted_back(line, finished)
  local front, at, rest = string.match(line, '^(%d+ [+-] )(%-?%d+)( .*)$')
  return front and front .. int(finished - at) .. rest or line
end

-- What nearly all of these stories are, shortly: `!- at_ms ms transport reply`.
local function shortened(line, finished)
  local counted, at, ms, transport, reply = string.match(line, '^1 ([+-]) (%-?%d+) (%d+) accepted (%S+) dot = = (.*)$')
  if not at then return counted_back(line, finished) end
  return '!' .. counted .. ' ' .. int(finished - at) .. ' ' .. ms .. ' ' .. transport .. ' ' .. reply
end

local function lengthened(line, finished)
  local counted, at, ms, transport, reply = string.match(line, '^!([+-]) (%-?%d+) (%d+) (%S+) (.*)$')
  if not at then return counted_back(line, finished) end
  return '1 ' .. counted .. ' ' .. int(finished - at) .. ' ' .. ms .. ' accepted ' .. transport .. ' dot = = ' .. reply
end

local function each_line(story, change, finished)
  if not string.find(story, '\n', 1, true) then return change(story, finished) end
  return (string.gsub(story, '[^\n]+', function(line) return change(line, finished) end))
end

-- Payload and hash (as a table) as they would be had they not been put together.
local function unfolded(id, payload)
  local header, hash = parse_kept(id, payload)
  if not header then return nil end
  local mail, receipt, story = string.match(payload, '^[^\n]*\n([^\n]*)\n([^\n]*)\n(.*)$')
  hash.receipt, hash.attempts = receipt, each_line(story or '', lengthened, hash.finished_ms)
  return header .. '\n' .. (mail or ''), hash
end

local function kept_terms(job, header, finished)
  local row = string.match(header, '^%d+ (@%S+ %d+)')
  if row then return row end
  local terms = { job.priority, int(finished - job.enqueued_ms), int(job.attempts) }
  if job.due_ms ~= job.enqueued_ms then terms[#terms + 1] = 'd' .. int(job.due_ms) end
  if job.expires_ms > 0 then terms[#terms + 1] = 'e' .. int(job.expires_ms) end
  if job.batch ~= '-' then terms[#terms + 1] = 'b' .. job.batch end
  if job.sensitive then terms[#terms + 1] = 's' end
  return table.concat(terms, ' ')
end

-- The job's place among those sent in this hour.
local filed_until
local hour = int(math.floor(now / HOUR_MS))
local sent_this_hour = key('sent:' .. hour)
local function file_sent(id, retention_ms)
  local over = now + math.max(retention_ms, TOMBSTONE_MS)
  write_later('RPUSH', sent_this_hour, short_id(id))
  if filed_until ~= over then
    redis.call('ZADD', key('sent'), 'GT', int(over), hour)
    filed_until = over
  end
end

-- The first line of what is kept. Whoever looks at it reads no more than the first 256 bytes of the whole: what would have a longer one is not
-- kept so.
local LINE_BYTES = 250
local KEPT_AS = VERSION .. ' sent '
local function kept_line(id, finished, fence, attempt, tries, worker, message_id, terms)
  if message_id == '' then message_id = '-' end
  if string.find(message_id, id .. '@', 1, true) == 1 then message_id = string.sub(message_id, #id + 1) end
  local line = KEPT_AS .. finished .. ' ' .. fence .. '.' .. attempt .. '.' .. tries .. ' ' .. string.sub(worker, -4) .. ' ' .. message_id .. ' ' .. terms
  return #line <= LINE_BYTES and line or nil
end

local UNUSUAL = { 'reason', 'recipients', 'generation', 'sent_twice', 'resends' }

-- Puts payload and hash of a job that has just been sent together. Where the hash tells more than usual it is left as it is; answers
-- whether it was done.
local function fold(job, finished)
  local notes, hash = job.notes or {}, job.hash
  local function fact(field) return notes[field] or hash[field] or '' end
  for _, field in ipairs(UNUSUAL) do
    if fact(field) ~= '' then return false end
  end
  -- A large mail is not moved about for it.
  local payload = job.payload or redis.call('GETRANGE', payload_key(job.id), 0, FOLDED_BYTES)
  if #payload > FOLDED_BYTES then return false end
  local first = string.find(payload, '\n', 1, true)
  if not first then return false end
  local second = string.find(payload, '\n', first + 1, true)
  local header, mail = string.sub(payload, 1, first - 1), string.sub(payload, first + 1, second and second - 1)
  local receipt = fact('receipt')
  if string.find(receipt, '\n', 1, true) then receipt = string.gsub(receipt, '\n', ' ') end
  local line = kept_line(job.id, int(finished), job.fence, notes.attempt or job.attempt or '0', job.tries or '0', job.worker or '-', fact('message_id'),
    kept_terms(job, header, finished))
  if not line then return false end
  write_later('MSET', nil, payload_key(job.id), table.concat({ line, mail, receipt, each_line(fact('attempts'), shortened, finished) }, '\n'))
  write_later('UNLINK', nil, job.in_flight and flight_key(job.id) or hash_key(job.id))
  return true
end

-- Takes what was put together apart again, to tell more of it than usual.
local function unfold(job)
  local payload, hash = unfolded(job.id, redis.call('GET', payload_key(job.id)))
  local flat = {}
  for field, value in pairs(hash) do
    flat[#flat + 1] = field
    flat[#flat + 1] = value
  end
  redis.call('SET', payload_key(job.id), payload)
  redis.call('HSET', hash_key(job.id), unpack(flat))
  job.kept, job.hash = false, hash
end
