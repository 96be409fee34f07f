-- Frees data that is no longer needed: index entries of jobs past their retention, waiting jobs of
-- cancelled batches.
--
-- Keys:    `<id>`, `h:<id>`, `f:<id>`, `t:<ref>`, `b:<batch>`, `c:<batch>`, `a:<hash>`,
--          `scheduled:<class>`, `deferred:<class>`, `leases`, `expiring`, `sent`, `sent:<hour>`,
--          `failed`, `cancelled`, `unknown`, `n`, `batches`, `sweeping`, `notices`, counters,
--          damage
-- ARGV:    version, budget (entries examined), then for a cancelled batch that is being freed: id,
--          cursor (from the last reply) and the ids of its next jobs
-- Replies: pruned <entries> <batch to free or ''> <its cursor> <its total>
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

-- Frees jobs of the first hour in which all sent jobs are past their retention. A sent job never
-- changes its state.
local function prune_sent()
  local hour = redis.call('ZRANGEBYSCORE', key('sent'), '-inf', int(now), 'LIMIT', 0, 1)[1]
  if not hour then return end
  for _, id in ipairs(redis.call('LPOP', key('sent:' .. hour), budget) or {}) do
    -- An entry that is not an id would lead to another key.
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

-- If several workers free the same jobs, the cursor lets only one succeed.
local batch = ARGV[3]
if batch and redis.call('ZSCORE', key('sweeping'), batch) == ARGV[4] then
  local function free_job(id)
    local job = load(id)
    if job and job.cancelled_with_batch then
      to_finished(job, 'cancelled', 'batch')
      pruned = pruned + 1
    end
  end
  for index = 5, #ARGV do isolated(ARGV[index], free_job, ARGV[index]) end
  flush_writes()
  local cursor = redis.call('ZINCRBY', key('sweeping'), #ARGV - 4, batch)
  local total = tonumber(redis.call('HGET', batch_key(batch), 'total')) or 0
  if tonumber(cursor) >= total then
    redis.call('ZREM', key('sweeping'), batch)
    update_completion(batch_key(batch))
  end
end

local first = redis.call('ZRANGE', key('sweeping'), 0, 0, 'WITHSCORES')
local total = first[1] and redis.call('HGET', batch_key(first[1]), 'total')
-- A batch without a record can't be freed, and must not block the others.
if first[1] and not total then redis.call('ZREM', key('sweeping'), first[1]) end
if not total then return { 'pruned', pruned, '', '0', '0' } end
return { 'pruned', pruned, first[1], int(tonumber(first[2])), int(tonumber(total) or 0) }
