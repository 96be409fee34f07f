-- Loading of a job that a person reads or acts on.
--
-- Keys of damage: `<id>`, `unknown`

-- Loads a job. Raises an error if it reads as queued only because its hash lost its state: a
-- queued job is not in doubt, and its payload does not expire.
local function load_checked(id)
  local job, why, version = load(id)
  if job and job.state == 'queued' and not job.hash.state then
    local has_other_state = redis.call('ZSCORE', key('unknown'), id) or redis.call('PTTL', payload_key(id)) > 0
    if has_other_state then raise_damage('the state is missing') end
  end
  return job, why, version
end
