-- The first line of a payload: what the job is promised. In full it is
--   version priority enqueued_ms due_ms expires_ms max_age_ms attempts lease_ms on_unknown retention_ms backoff_ms backoff_max_ms batch flags
-- A batch's row whose terms are its batch's says only
--   version @<ref> <ms from the start of the batch's terms to its own enqueueing>
-- and `t:<ref>` (the last ten characters of the batch's id) holds the rest, once:
--   <batch> <start_ms> <the terms, as `enqueue` was told them>
local HEADER = '^(%d+) (%d) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%l+) (%d+) (%d+) (%d+) (%S+) (%S+)\n'
local TERMS = '^(%S+) (%d+) (%d) (%d+) (%d+) (%d+) (%d+) ((%d+) (%d+) (%d+) (%l+) (%d+) (%d+) (%d+)) (%S+)$'

local function terms_key(batch) return base .. ':t:' .. string.sub(batch, -10) end

-- The terms of jobs that are put in now or were at another time.
local function terms_of(priority, delay, at, expires_in, expires_at, rest, batch, flags)
  return {
    priority = priority, delay = tonumber(delay), at = tonumber(at), expires_in = tonumber(expires_in), expires_at = tonumber(expires_at),
    rest = rest, batch = batch, flags = flags,
  }
end

local function due_of(terms, enqueued) return terms.at > 0 and terms.at or enqueued + terms.delay end
local function expiry_of(terms, enqueued) return terms.expires_in > 0 and enqueued + terms.expires_in or terms.expires_at end

-- The header in full, without its line end.
local function full_header(terms, enqueued)
  local due, expiry = due_of(terms, enqueued), expiry_of(terms, enqueued)
  local at = enqueued == now and now_text or int(enqueued)
  return table.concat({
    VERSION, terms.priority, at, due == enqueued and at or int(due), expiry == 0 and '0' or int(expiry), terms.rest, terms.batch, terms.flags,
  }, ' ')
end

-- What a job is promised, but for its times.
local function promises(version, priority, max_age, attempts, lease, on_unknown, retention, batch, flags)
  return {
    version = tonumber(version), priority = priority, max_age_ms = tonumber(max_age), attempts = tonumber(attempts), lease_ms = tonumber(lease),
    on_unknown = on_unknown, retention_ms = tonumber(retention), batch = batch, sensitive = flags == 'sensitive',
  }
end

-- Read once in a script, with what was made of them.
local known_terms = {}
local function terms_at(ref)
  local known = known_terms[ref]
  if known == nil then
    local batch, start, priority, delay, at, expires_in, expires_at, rest, max_age, attempts, lease, on_unknown, retention, _, _, flags =
      string.match(redis.call('GET', base .. ':t:' .. ref) or '', TERMS)
    known = batch and terms_of(priority, delay, at, expires_in, expires_at, rest, batch, flags) or false
    if known then
      known.start, known.headers = tonumber(start), {}
      known.promises = { __index = promises(VERSION, priority, max_age, attempts, lease, on_unknown, retention, batch, flags) }
    end
    known_terms[ref] = known
  end
  return known
end

-- The header line of a payload in full, with its line end: a row's is put together from its batch's terms. Nil when those are gone.
local function whole_header(payload)
  local ref, since = string.match(payload, '^%d+ @(%S+) (%d+)\n')
  if not ref then return string.match(payload, '^[^\n]*\n') end
  local terms = terms_at(ref)
  if not terms then return nil end
  -- Rows that were put in together are told the same.
  terms.headers[since] = terms.headers[since] or full_header(terms, terms.start + tonumber(since)) .. '\n'
  return terms.headers[since]
end

-- The payload as everybody but us knows it: its header in full.
local function whole(payload)
  if not payload or not string.find(payload, '^%d+ @') then return payload end
  local header = whole_header(payload)
  return header and header .. string.sub(payload, string.find(payload, '\n', 1, true) + 1) or payload
end

-- A row's job: of what it shares with the others, nothing is written down for it.
local function of_row(ref, since)
  local terms = terms_at(ref)
  if not terms then return nil end
  local enqueued = terms.start + tonumber(since)
  local times = { enqueued_ms = enqueued, due_ms = due_of(terms, enqueued), expires_ms = expiry_of(terms, enqueued) }
  return setmetatable(times, terms.promises)
end

local function parse_header(payload)
  local written = tonumber(string.match(payload, '^(%d+) '))
  -- What a newer version writes is not ours to judge, not even its header.
  if written and written > VERSION then return nil, written end
  local ref, since = string.match(payload, '^%d+ @(%S+) (%d+)\n')
  if ref then return of_row(ref, since) end
  local version, priority, enqueued, due, expires, max_age, attempts, lease, on_unknown, retention, _, _, batch, flags =
    string.match(payload, HEADER)
  if not version then return nil end
  local job = promises(version, priority, max_age, attempts, lease, on_unknown, retention, batch, flags)
  job.enqueued_ms, job.due_ms, job.expires_ms = tonumber(enqueued), tonumber(due), tonumber(expires)
  return job
end
