-- Flight: what there is to tell of a job while it is sent for the first time, as one string beside its payload, `f:<id>`:
--   fence worker claimed_ms lease_ms until_ms batch [begun_ms date_ms message_id]
-- `until_ms`: before that it may be begun. With any other change a hash takes its place (`land`).
local FLIGHT = '^(%d+) (%S+) (%d+) (%d+) (%d+) (%S+)(.*)$'
local BEGUN = '^ (%d+) (%-?%d+) (.*)$'

local function flight_key(id) return base .. ':f:' .. string.sub(id, -26) end

-- The flights of the jobs named in ARGV from `first` on, one each `step`, false where there is none; and their keys.
local function flights_of(first, step)
  local keys = {}
  for index = first, #ARGV, step do keys[#keys + 1] = flight_key(ARGV[index]) end
  return keys[1] and redis.call('MGET', unpack(keys)) or {}, keys
end

-- The same as the fields of a hash; nil where it can't be read.
local function parse_flight(flight)
  local fence, worker, claimed, _, _, _, more = string.match(flight, FLIGHT)
  if not fence then return nil end
  local begun, date, message_id = string.match(more, BEGUN)
  return { state = 'sending', fence = fence, worker = worker, claimed_ms = claimed, begun_ms = begun, date_ms = date, message_id = message_id }
end
