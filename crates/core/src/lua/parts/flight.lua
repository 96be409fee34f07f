-- Flight: the changing part of a job during its first attempt, one string at `f:<id>`:
--   fence worker claimed_ms lease_ms until_ms batch [begun_ms date_ms message_id]
-- The job may begin before `until_ms`. Any other change replaces the flight by a hash
-- (`flight_to_hash`).
local FLIGHT = '^(%d+) (%S+) (%d+) (%d+) (%d+) (%S+)(.*)$'

-- Returns the flight of a job that this script claims.
local function new_flight(fence, worker, lease_ms, until_ms, batch)
  return table.concat({ fence, worker, now_text, lease_ms, int(until_ms), batch }, ' ')
end

-- Returns the flight of a job that begins now; `claim` is the part from its claim.
local function begun_flight(claim, date_ms, message_id)
  return claim .. ' ' .. now_text .. ' ' .. date_ms .. ' ' .. message_id
end

-- Returns fence, worker, lease_ms, until_ms, batch, and the part without an earlier begin.
local function parse_claim(flight)
  local fence, worker, _, lease_ms, until_ms, batch, more = string.match(flight, FLIGHT)
  return fence, worker, lease_ms, until_ms, batch, more and string.sub(flight, 1, #flight - #more)
end

-- Start of the flights that this worker holds under this fence.
local function holder_prefix(fence, worker) return fence .. ' ' .. worker .. ' ' end

-- Returns batch and message id of a begun flight; nil if it has another holder or is not begun.
local function begun_by(flight, holder)
  if string.sub(flight, 1, #holder) ~= holder then return nil end
  local batch, from = string.match(flight, '^%d+ %d+ %d+ (%S+) %d+ %-?%d+ ()', #holder + 1)
  return batch, batch and string.sub(flight, from)
end

-- Returns the fence and the batch of a flight that may be damaged otherwise; each may be nil.
local function readable_fields(flight)
  return string.match(flight, '^(%d+) '), string.match(flight, '^%d+ %S+ %d+ %d+ %d+ (%S+)')
end

local function flight_key(id) return base .. ':f:' .. string.sub(id, -26) end

-- Returns the flights of the jobs in ARGV, whose ids are at `first` and each `step` after it (false
-- where there is none), and their keys.
local function flights_of(first, step)
  local keys = {}
  for index = first, #ARGV, step do keys[#keys + 1] = flight_key(ARGV[index]) end
  return keys[1] and redis.call('MGET', unpack(keys)) or {}, keys
end

-- Returns the flight as the fields of a hash, or nil if it can't be parsed.
local function parse_flight(flight)
  local fence, worker, claimed, _, _, _, more = string.match(flight, FLIGHT)
  if not fence then return nil end
  local begun, date, message_id = string.match(more, '^ (%d+) (%-?%d+) (.*)$')
  return {
    state = 'sending', fence = fence, worker = worker, claimed_ms = claimed, begun_ms = begun, date_ms = date,
    message_id = message_id,
  }
end
