-- Header: the first line of a payload, with the job's times and policy:
--   version priority enqueued_ms due_ms expires_ms max_age_ms attempts lease_ms on_unknown
--     retention_ms backoff_ms backoff_max_ms batch flags
-- A row of a batch may have a short header instead (row.lua).
local HEADER = '^(%d+) (%d) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%l+) (%d+) (%d+) (%d+) (%S+) (%S+)\n'

-- The terms of a job: its policy, its batch, and the arguments that its times follow from.
local function terms_of(priority, delay, at, expires_in, expires_at, rest, batch, flags)
  return {
    priority = priority, delay = tonumber(delay), at = tonumber(at), expires_in = tonumber(expires_in),
    expires_at = tonumber(expires_at), rest = rest, batch = batch, flags = flags,
  }
end

local function due_of(terms, enqueued) return terms.at > 0 and terms.at or enqueued + terms.delay end
local function expiry_of(terms, enqueued)
  return terms.expires_in > 0 and enqueued + terms.expires_in or terms.expires_at
end

-- Returns the full header without the line end.
local function full_header(terms, enqueued)
  local due, expiry = due_of(terms, enqueued), expiry_of(terms, enqueued)
  local at = enqueued == now and now_text or int(enqueued)
  return table.concat({
    VERSION, terms.priority, at, due == enqueued and at or int(due), expiry == 0 and '0' or int(expiry), terms.rest,
    terms.batch, terms.flags,
  }, ' ')
end

-- The policy of a job, without its times.
local function policy_of(version, priority, max_age, attempts, lease, on_unknown, retention, batch, flags)
  return {
    version = tonumber(version), priority = priority, max_age_ms = tonumber(max_age), attempts = tonumber(attempts),
    lease_ms = tonumber(lease), on_unknown = on_unknown, retention_ms = tonumber(retention), batch = batch,
    sensitive = flags == 'sensitive',
  }
end

-- Terms read by this script, with the values derived from them.
local terms_cache = {}
local function terms_by_ref(ref)
  local known = terms_cache[ref]
  if known == nil then
    local batch, start, priority, delay, at, expires_in, expires_at, rest, max_age, attempts, lease, on_unknown,
      retention, _, _, flags =
      parse_terms(redis.call('GET', base .. ':t:' .. ref) or '')
    known = batch and terms_of(priority, delay, at, expires_in, expires_at, rest, batch, flags) or false
    if known then
      known.start, known.headers = tonumber(start), {}
      local policy = policy_of(VERSION, priority, max_age, attempts, lease, on_unknown, retention, batch, flags)
      known.policy = { __index = policy }
    end
    terms_cache[ref] = known
  end
  return known
end

-- Returns the payload's full header with its line end. A row's header is built from the terms of
-- its batch; nil if these are gone.
local function expand_header(payload)
  local ref, since = parse_row_header(payload)
  if not ref then return string.match(payload, '^[^\n]*\n') end
  local terms = terms_by_ref(ref)
  if not terms then return nil end
  -- Rows that were enqueued in one call have the same header.
  terms.headers[since] = terms.headers[since] or full_header(terms, terms.start + tonumber(since)) .. '\n'
  return terms.headers[since]
end

-- Returns the payload with a full header, as workers and clients see it.
local function expand_payload(payload)
  if not payload or not parse_row_header(payload) then return payload end
  local header = expand_header(payload)
  return header and header .. string.sub(payload, string.find(payload, '\n', 1, true) + 1) or payload
end

-- Returns the job of a row: its times, with the policy taken from the terms of its batch.
local function parse_row(ref, since)
  local terms = terms_by_ref(ref)
  if not terms then return nil end
  local enqueued = terms.start + tonumber(since)
  local times = { enqueued_ms = enqueued, due_ms = due_of(terms, enqueued), expires_ms = expiry_of(terms, enqueued) }
  return setmetatable(times, terms.policy)
end

local function parse_header(payload)
  local written = tonumber(string.match(payload, '^(%d+) '))
  -- The format of a newer version is unknown, including its header.
  if written and written > VERSION then return nil, written end
  local ref, since = parse_row_header(payload)
  if ref then return parse_row(ref, since) end
  local version, priority, enqueued, due, expires, max_age, attempts, lease, on_unknown, retention, _, _, batch, flags =
    string.match(payload, HEADER)
  if not version then return nil end
  local job = policy_of(version, priority, max_age, attempts, lease, on_unknown, retention, batch, flags)
  job.enqueued_ms, job.due_ms, job.expires_ms = tonumber(enqueued), tonumber(due), tonumber(expires)
  return job
end
