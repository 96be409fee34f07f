-- Row: a job of a batch whose terms are those of the batch's first chunk. Its header is only
--   version @<ref> <ms from the start of the terms to its enqueueing>
-- and its sent record keeps `@<ref> <ms>`. `t:<ref>` holds the terms, once for all rows:
--   <batch> <start_ms> <arguments of `enqueue` from priority to backoff_max_ms> <flags>
-- <ref> is the last ten characters of the batch's id. Only this file writes and reads these texts.
local ROW_PREFIX = VERSION .. ' @'

local function is_row(payload) return string.sub(payload, 1, #ROW_PREFIX) == ROW_PREFIX end
local function row_header(batch, since_ms)
  return ROW_PREFIX .. string.sub(batch, -10) .. ' ' .. int(since_ms) .. '\n'
end

-- Returns the ref and the ms of a row's header; nil for a full header.
local function parse_row_header(payload) return string.match(payload, '^%d+ @(%S+) (%d+)\n') end

-- The part of a row's header that its sent record keeps.
local function row_terms(header) return string.match(header, '^%d+ (@%S+ %d+)') end
local function parse_row_terms(terms) return string.match(terms, '^@(%S+) (%d+)') end

local function terms_text(batch, start_ms, arguments) return batch .. ' ' .. int(start_ms) .. ' ' .. arguments end
local function terms_start_ms(text) return tonumber(string.match(text, '^%S+ (%d+) ')) end

-- Returns: batch, start_ms, priority, delay, at, expires_in, expires_at, the rest as one string and
-- as single fields (max_age, attempts, lease, on_unknown, retention, backoff, backoff_max), flags.
local function parse_terms(text)
  local times = '^(%S+) (%d+) (%d) (%d+) (%d+) (%d+) (%d+) '
  return string.match(text, times .. '((%d+) (%d+) (%d+) (%l+) (%d+) (%d+) (%d+)) (%S+)$')
end
