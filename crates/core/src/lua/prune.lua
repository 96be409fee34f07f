-- Frees what nobody needs any more: index entries whose job's time is over, the waiting jobs of cancelled batches.
--
-- Keys:    `sent`, `sent:<hour>`, `failed`, `cancelled`, `batches`, `sweeping`, job `<id>` and `h:<id>`, `scheduled:<class>`, `deferred:<class>`
-- ARGV:    version, budget (entries looked at), then for a cancelled batch that is being swept: id, cursor (as it was told) and the ids of its next jobs
-- Replies: pruned <entries> <batch to sweep or ''> <its cursor> <its total>
-- States:  none that is visible: a job of a cancelled batch reads as cancelled before and after
-- Includes: prelude job
local budget, pruned = tonumber(ARGV[2]), 0

local function prune_index(index, exists)
  for _, id in ipairs(redis.call('ZRANGE', index, 0, budget - 1)) do
    if not exists(id) then
      redis.call('ZREM', index, id)
      pruned = pruned + 1
    end
  end
end

-- Of the first hour of which all that was sent may go. What was sent stays sent, so nothing else can have become of it.
local function prune_sent()
  local hour = redis.call('ZRANGEBYSCORE', key('sent'), '-inf', int(now), 'LIMIT', 0, 1)[1]
  if not hour then return end
  for _, id in ipairs(redis.call('LPOP', key('sent:' .. hour), budget) or {}) do
    -- Anything else that stands there would lead to another key.
    if is_job_id(of_queue .. id) then redis.call('UNLINK', payload_key(id), hash_key(id)) end
    pruned = pruned + 1
  end
  if redis.call('EXISTS', key('sent:' .. hour)) == 0 then redis.call('ZREM', key('sent'), hour) end
end

prune_sent()
for _, state in ipairs({ 'failed', 'cancelled' }) do
  prune_index(key(state), function(id) return is_job_id(id) and redis.call('EXISTS', payload_key(id)) == 1 end)
end
prune_index(key('batches'), function(id) return redis.call('EXISTS', batch_key(id)) == 1 end)

-- Of several that sweep the same piece, one is heard: the others have an old cursor.
local swept = ARGV[3]
if swept and redis.call('ZSCORE', key('sweeping'), swept) == ARGV[4] then
  local function free(id)
    local job = load(id)
    if job and job.swept then
      to_finished(job, 'cancelled', 'batch')
      pruned = pruned + 1
    end
  end
  for index = 5, #ARGV do harmless(ARGV[index], free, ARGV[index]) end
  settle()
  local cursor = redis.call('ZINCRBY', key('sweeping'), #ARGV - 4, swept)
  local total = tonumber(redis.call('HGET', batch_key(swept), 'total')) or 0
  if tonumber(cursor) >= total then
    redis.call('ZREM', key('sweeping'), swept)
    settle_batch(batch_key(swept))
  end
end

local first = redis.call('ZRANGE', key('sweeping'), 0, 0, 'WITHSCORES')
local total = first[1] and redis.call('HGET', batch_key(first[1]), 'total')
-- One whose record is gone can't be swept, and must not keep the others back.
if first[1] and not total then redis.call('ZREM', key('sweeping'), first[1]) end
if not total then return { 'pruned', pruned, '', '0', '0' } end
return { 'pruned', pruned, first[1], int(tonumber(first[2])), int(tonumber(total) or 0) }
